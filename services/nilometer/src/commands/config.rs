//! `nilometer config`: a definition to start from, or every key of one as a page.

use std::fmt::Write as _;

use nilometer_definitions::reference::{Key, Section, sections};

const HEAD: &str = "\
# Every key of a definition

Written by `nilometer config --reference` from the option types; `nilometer config` prints a commented definition to start from. A key
without a default must be there; one below a table, where that table is. A length of time is a number with a unit of w, d, h, min or s, as `1h30min`; a time is RFC 3339 with a zone,
as `2014-11-04T20:00:00Z`, or a day. Units of numbers end the keys' names. `--set KEY=VALUE` overrides any of them.
";

/// The definition to start from: complete, commented.
const EXAMPLE: &str = include_str!("../../../../pipelines/definitions/cance.toml");

#[derive(clap::Args)]
pub struct Arguments {
    /// every key: its type, its default and what it means
    #[arg(long)]
    reference: bool,
}

pub fn run(Arguments { reference }: &Arguments) {
    if *reference { print!("{}", markdown()) } else { print!("{EXAMPLE}") }
}

/// The page, in Markdown.
fn markdown() -> String {
    sections().iter().fold(HEAD.to_owned(), |page, section| page + &table(section))
}

fn table(section: &Section) -> String {
    let mut text = format!("\n## {}\n\n| key | type | default | meaning |\n|---|---|---|---|\n", section.header);
    for Key { name, kind, default, meaning } in &section.keys {
        let default = default.as_deref().unwrap_or("");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{name}` | {} | {} | {} |", cell(kind), cell(default), cell(meaning));
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
