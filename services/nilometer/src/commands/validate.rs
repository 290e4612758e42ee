//! `nilometer validate`.

use anyhow::Result;
use nilometer_pipeline::{Mode, begin_where_forcing_does, rehearse, without_rows};

use super::definition::Definition;

pub fn run(definition: &Definition) -> Result<()> {
    let mut pipeline = definition.load()?;
    begin_where_forcing_does(&mut pipeline)?;
    // What only opening shows: traced catchments, readable sources, a model that loads.
    let sources = rehearse(&pipeline)?;
    let mut warnings = pipeline.warnings.clone();
    warnings.extend(without_rows(&pipeline, Mode::Replay, &sources));
    for warning in &warnings {
        println!("warning: {warning}");
    }
    let found = match warnings.len() {
        0 => "no problem found".to_owned(),
        1 => "no problem found, 1 warning".to_owned(),
        many => format!("no problem found, {many} warnings"),
    };
    println!("{}: {found}", definition.definition.display());
    Ok(())
}
