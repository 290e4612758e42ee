//! Writes the rendering of each contract into a folder: `cargo run -p nilometer-schemas --example render -- FOLDER`.

use nilometer_schemas::Contract;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    for contract in Contract::ALL {
        std::fs::write(format!("{folder}/{}.json", contract.version()), format!("{:#}\n", contract.render()))?;
    }
    Ok(())
}
