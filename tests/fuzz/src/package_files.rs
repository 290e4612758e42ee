//! The files of a small package of the zoo, in memory.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use nilometer_packages::{Mixture, PackageError};
use sha2::{Digest as _, Sha256};

use crate::assert_described;

pub(crate) const CARD: &str = include_str!("../seeds/card/exphydro.toml");
pub(crate) const STEP: &[u8] = include_bytes!("../../../models/zoo/exphydro-cance/step.onnx");
const ROLLOUT: &[u8] = include_bytes!("../../../models/zoo/exphydro-cance/rollout.onnx");
const WEIGHTS: &[u8] = include_bytes!("../../../models/zoo/exphydro-cance/weights.safetensors");

/// The files below a folder, whose name ends with a slash where there is one.
pub(crate) fn below(folder: &str) -> BTreeMap<String, Arc<[u8]>> {
    let files = [
        ("card.toml", CARD.as_bytes()),
        ("step.onnx", STEP),
        ("rollout.onnx", ROLLOUT),
        ("weights.safetensors", WEIGHTS),
    ];
    files.map(|(name, bytes)| (format!("{folder}{name}"), Arc::from(bytes))).into()
}

/// The hash of a file as a card names it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads a package or a blend. What is accepted is used as a model is; what is not is described.
pub(crate) fn load(files: &BTreeMap<String, Arc<[u8]>>) {
    let models = match Mixture::of_files(Path::new("fuzz"), files) {
        Ok(models) => models,
        Err(error) => {
            let PackageError::Package { problems, .. } = &error else { return assert_described(&error) };
            assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.is_empty()));
            return;
        }
    };
    assert!(!models.weights_sha256().is_empty() && models.files().len() > models.members().len());
    for member in models.members() {
        let card = member.package.card();
        assert!(member.weight > 0.0);
        assert_eq!(card.state_row_blocks().count(), card.state_rows());
        let selection = if card.attributes.is_empty() {
            member.package.select(&card.catchments)
        } else {
            member.package.describe(1, vec![0.0; card.attributes.len()])
        };
        for (_, tensor) in member.package.gathered(&selection.unwrap()) {
            assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
        }
    }
}
