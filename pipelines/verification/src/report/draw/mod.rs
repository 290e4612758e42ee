//! Drawing: what a forecast says, how a lead time did, and how dry it was, as SVG and PNG. What is drawn is text until it is written.

mod forecast;
mod outlook;
mod overview;
mod scale;
mod strip;
mod svg;

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use anyhow::{Context as _, Result};

pub use forecast::{Forecasted, Odds, Threshold};
pub use outlook::{Outlook, Week};
pub use overview::Overview;
pub use strip::{Days, Strip};

/// Pixels of a PNG for each of the drawing.
const SCALE: f32 = 2.0;

/// Fonts of the system; without any a PNG would have no words.
static FONTS: LazyLock<Arc<resvg::usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = resvg::usvg::fontdb::Database::new();
    fonts.load_system_fonts();
    if let Some(family) = ["Source Sans 3", "Noto Sans", "DejaVu Sans"]
        .into_iter()
        .find(|family| fonts.faces().any(|face| face.families.iter().any(|(name, _)| name == family)))
    {
        fonts.set_sans_serif_family(family);
    }
    Arc::new(fonts)
});

/// Writes a drawing as `path` with the endings `svg` and `png`; whether there is a PNG: not on a system without fonts.
///
/// # Errors
/// When a file cannot be written.
pub fn write(path: &Path, svg: &str) -> Result<bool> {
    let file = path.with_extension("svg");
    fs::write(&file, svg).with_context(|| format!("{} cannot be written", file.display()))?;
    if FONTS.is_empty() {
        return Ok(false);
    }
    let file = path.with_extension("png");
    let png = || -> Result<Vec<u8>> {
        let options = resvg::usvg::Options { fontdb: FONTS.clone(), ..Default::default() };
        let tree = resvg::usvg::Tree::from_str(svg, &options)?;
        let size = tree.size().to_int_size().scale_by(SCALE).context("the drawing has no size")?;
        let mut pixels =
            resvg::tiny_skia::Pixmap::new(size.width(), size.height()).context("the drawing is too large")?;
        resvg::render(&tree, resvg::tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        Ok(pixels.encode_png()?)
    };
    fs::write(&file, png()?).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(true)
}
