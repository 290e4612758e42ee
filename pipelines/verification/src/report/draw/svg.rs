//! SVG, line by line: what a chart is drawn with. Lengths are pixels.

use std::fmt::Write as _;

/// Colours and widths of every chart: greys for the river, rain and fans, so that a grey print loses nothing; red for what is urgent.
pub mod ink {
    pub const GROUND: &str = "#ffffff";
    pub const TEXT: &str = "#161a1d";
    pub const SECOND: &str = "#454c53";
    pub const LABEL: &str = "#5f676e";
    pub const AXIS: &str = "#7b838a";
    pub const RULE: &str = "#d8dbdd";
    pub const FAN_90: &str = "#dfe6ea";
    pub const FAN_50: &str = "#bfccd4";
    pub const RAIN: &str = "#7b919f";
    pub const RAIN_AHEAD: &str = "#afbcc5";
    pub const URGENT: &str = "#b3261e";
    /// D0 to D4
    pub const DROUGHT: [&str; 5] = ["#efe2c4", "#e0c07c", "#c08a2e", "#8a5410", "#4d2a05"];
}

/// Where a text is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing that grows.
pub struct Svg {
    body: String,
    width: f64,
    height: f64,
}

impl Svg {
    pub const fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    /// A line through points, in a colour and width; `dash` as SVG has it, empty for none.
    pub fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64, dash: &str) {
        if points.len() < 2 {
            return;
        }
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        let path = path(points);
        self.add(&format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dash}/>"
        ));
    }

    /// A filled outline.
    pub fn area(&mut self, outline: &[(f64, f64)], colour: &str) {
        if outline.len() > 2 {
            let path = path(outline);
            self.add(&format!("<path d=\"{path}Z\" fill=\"{colour}\"/>"));
        }
    }

    pub fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        if width > 0.0 && height > 0.0 {
            self.add(&format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
            ));
        }
    }

    pub fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        self.add(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"));
    }

    /// A text at a point, in a size; `bold` or not. A halo keeps it readable over what lies below it.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, size: f64, colour: &str, bold: bool, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if bold { " font-weight=\"600\"" } else { "" };
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let ground = ink::GROUND;
        self.add(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{colour}\"{weight} stroke=\"{ground}\" stroke-width=\"3\" stroke-opacity=\"0.75\" paint-order=\"stroke\">{escaped}</text>"
        ));
    }

    /// A text in the middle of something dark, without a halo.
    pub fn plain_text(&mut self, (x, y): (f64, f64), size: f64, colour: &str, text: &str) {
        self.add(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" font-size=\"{size}\" font-weight=\"600\" fill=\"{colour}\">{text}</text>"
        ));
    }

    /// A bar with two ticks: the window of a time.
    pub fn bracket(&mut self, from: f64, to: f64, y: f64, colour: &str, width: f64) {
        self.line(&[(from, y), (to, y)], colour, width, "");
        for x in [from, to] {
            self.line(&[(x, y - 6.0), (x, y + 6.0)], colour, 2.0, "");
        }
    }

    /// The file.
    pub fn finish(self) -> String {
        let Self { body, width, height } = self;
        let ground = ink::GROUND;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"'Source Sans 3', 'Noto Sans', 'DejaVu Sans', sans-serif\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"{ground}\"/>\n{body}</svg>\n"
        )
    }

    fn add(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (at, (x, y)) in points.iter().enumerate() {
        // A String takes whatever is written.
        _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
    }
    path
}
