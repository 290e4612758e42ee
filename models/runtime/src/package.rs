//! A package: a folder whose every file is what its card says.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::{Card, RuntimeError, signature::Signature};

const CARD: &str = "card.toml";
const WEIGHTS: &str = "weights.safetensors";
/// A file of a package, protocol buffers' own limit.
const LARGEST_FILE_BYTES: u64 = 2 << 30;

/// A named array of float32, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// lengths of its axes
    pub shape: Vec<usize>,
    /// its numbers
    pub values: Vec<f32>,
}

/// Catchments that a model is bound to: [`Package::select`] finds them by name, [`Package::describe`] by their attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// where each lies on the weights' catchment axis
    pub(crate) places: Vec<usize>,
    /// `[A, C]`, empty where the package takes none
    pub(crate) attributes: Vec<f32>,
}

impl Selection {
    /// How many catchments.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no catchment.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// A verified model package.
#[derive(Debug, Clone)]
pub struct Package {
    folder: PathBuf,
    card: Card,
    weights: BTreeMap<String, Tensor>,
}

impl Package {
    /// Reads a folder and verifies it: the card, the hash of every file, the rows of every graph, the shape of every weight.
    ///
    /// # Errors
    /// [`RuntimeError`] names the file and lists every problem found in it.
    pub fn load(folder: &Path) -> Result<Self, RuntimeError> {
        let path = folder.join(CARD);
        let text = read_text(&path)?;
        let card: Card =
            toml::from_str(&text).map_err(|source| RuntimeError::Card { path, source: Box::new(source) })?;
        let mut problems = card.problems();
        for required in ["step.onnx", "rollout.onnx", WEIGHTS] {
            if !card.sha256.contains_key(required) {
                problems.push(format!("the card has no sha256 for {required}"));
            }
        }
        for (file, expected) in &card.sha256 {
            match read_file(&folder.join(file)) {
                Ok(bytes) => problems.extend(file_problems(file, &bytes, expected, &card)),
                Err(e) => problems.push(format!("{file} is on the card but cannot be read: {e}")),
            }
        }
        let refuse = |problems| RuntimeError::Package { path: folder.to_owned(), problems };
        if !problems.is_empty() {
            return Err(refuse(problems));
        }
        let weights = read_tensors(&folder.join(WEIGHTS))?;
        for weight in &card.weights {
            match weights.get(&weight.name) {
                None => problems.push(format!("{WEIGHTS} has no {}", weight.name)),
                Some(t) if t.shape != weight.shape => {
                    problems.push(format!(
                        "{WEIGHTS}: {} has shape {:?}, the card says {:?}",
                        weight.name, t.shape, weight.shape
                    ));
                }
                Some(t) if t.values.iter().any(|v| !v.is_finite()) => {
                    problems.push(format!("{WEIGHTS}: {} holds a value that is no finite number", weight.name));
                }
                Some(_) => {}
            }
        }
        for name in weights.keys().filter(|name| !card.weights.iter().any(|w| w.name == **name)) {
            problems.push(format!("{WEIGHTS} has {name}, which the card does not list"));
        }
        if problems.is_empty() { Ok(Self { folder: folder.to_owned(), card, weights }) } else { Err(refuse(problems)) }
    }

    /// The card.
    #[must_use]
    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// SHA-256 of the weights file: which weights made a forecast.
    #[must_use]
    pub fn weights_sha256(&self) -> &str {
        self.sha256(WEIGHTS)
    }

    /// SHA-256 of a file of the package, empty for one that the card does not list.
    #[must_use]
    pub fn sha256(&self, file: &str) -> &str {
        self.card.sha256.get(file).map_or("", String::as_str)
    }

    /// A file of the package.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The catchments of these names, which the package has parameters for. One may be named more than once.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownCatchment`] for one that the card does not list, [`RuntimeError::Attributes`] when the package
    /// tells catchments apart by attributes.
    pub fn select<S: AsRef<str>>(&self, catchments: &[S]) -> Result<Selection, RuntimeError> {
        if !self.card.attributes.is_empty() {
            return Err(self.wants_attributes("none are given".to_owned()));
        }
        let place = |wanted: &str| {
            self.card.catchments.iter().position(|c| c == wanted).ok_or_else(|| RuntimeError::UnknownCatchment {
                model: self.card.name.clone(),
                catchment: wanted.to_owned(),
                known: shortened(&self.card.catchments),
            })
        };
        let places = catchments.iter().map(|wanted| place(wanted.as_ref())).collect::<Result<_, _>>()?;
        Ok(Selection { places, attributes: Vec::new() })
    }

    /// Any catchments, described by `attributes` `[A, C]` in the card's order and units.
    ///
    /// # Errors
    /// [`RuntimeError::Attributes`] when their number does not fit, one is no finite number, or the package takes none.
    pub fn describe(&self, catchments: usize, attributes: Vec<f32>) -> Result<Selection, RuntimeError> {
        let wanted = &self.card.attributes;
        if wanted.is_empty() {
            return Err(self.wants_attributes(format!("{} are given", attributes.len())));
        }
        if attributes.len() != wanted.len() * catchments {
            let given = format!("{} numbers for {catchments} catchments are given", attributes.len());
            return Err(self.wants_attributes(given));
        }
        if let Some(at) = attributes.iter().position(|v| !v.is_finite()) {
            let (name, catchment) = (&wanted[at / catchments].name, at % catchments);
            let given = format!("{name} of catchment {catchment} is {}, accepted are finite numbers", attributes[at]);
            return Err(self.wants_attributes(given));
        }
        Ok(Selection { places: (0..catchments).collect(), attributes })
    }

    fn wants_attributes(&self, given: String) -> RuntimeError {
        let names: Vec<String> = self.card.attributes.iter().map(|a| a.name.clone()).collect();
        RuntimeError::Attributes { model: self.card.name.clone(), given, wanted: names.join(", ") }
    }

    /// What a graph takes for these catchments beside state and forcing: every weight, gathered along its catchment axis, and the
    /// attributes.
    pub(crate) fn gathered(&self, selection: &Selection) -> BTreeMap<&str, Tensor> {
        let catchments = &selection.places;
        let attributes = (!self.card.attributes.is_empty()).then(|| {
            let shape = vec![self.card.attributes.len(), catchments.len()];
            ("attributes", Tensor { shape, values: selection.attributes.clone() })
        });
        self.card
            .weights
            .iter()
            .filter_map(|w| Some((w.name.as_str(), self.weights.get(&w.name)?, w.catchment_axis)))
            .map(|(name, tensor, axis)| (name, axis.map_or_else(|| tensor.clone(), |a| gather(tensor, a, catchments))))
            .chain(attributes)
            .collect()
    }
}

/// What a file of the package says that its card does not: another hash, or a graph of other rows.
fn file_problems(file: &str, bytes: &[u8], sha256: &str, card: &Card) -> Vec<String> {
    let found = hex(&Sha256::digest(bytes));
    if found != sha256 {
        return vec![format!(
            "{file} has SHA-256 {found}, the card says {sha256}: restore the file, or export the package again"
        )];
    }
    if !file.ends_with(".onnx") {
        return Vec::new();
    }
    match Signature::read(bytes) {
        Some(signature) => signature.problems(file, card),
        None => vec![format!("{file} is no ONNX graph: restore the file, or export the package again")],
    }
}

/// The bytes of a regular file of at most [`LARGEST_FILE_BYTES`]: a device or a pipe would never end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::metadata(path)?;
    let refused = match file.len() {
        _ if !file.is_file() => "not a regular file".to_owned(),
        bytes if bytes > LARGEST_FILE_BYTES => format!("{bytes} bytes, accepted are at most {LARGEST_FILE_BYTES}"),
        _ => return fs::read(path),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, refused))
}

/// The text of a card.
pub(crate) fn read_text(path: &Path) -> Result<String, RuntimeError> {
    let text = |bytes| String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e));
    read_file(path).and_then(text).map_err(|source| RuntimeError::Read { path: path.to_owned(), source })
}

/// The first few names of a long list.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} others", names.len() - SHOWN) } else { shown }
}

/// Rows of `tensor` along `axis`, in the order of `indices`.
fn gather(tensor: &Tensor, axis: usize, indices: &[usize]) -> Tensor {
    let inner: usize = tensor.shape[axis + 1..].iter().product();
    let outer: usize = tensor.shape[..axis].iter().product();
    let length = tensor.shape[axis];
    let mut values = Vec::with_capacity(outer * indices.len() * inner);
    for block in 0..outer {
        for index in indices {
            let from = (block * length + index) * inner;
            values.extend_from_slice(&tensor.values[from..from + inner]);
        }
    }
    let mut shape = tensor.shape.clone();
    shape[axis] = indices.len();
    Tensor { shape, values }
}

/// Every tensor of a safetensors file, which must all be float32.
pub(crate) fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, RuntimeError> {
    let bytes = read_file(path).map_err(|source| RuntimeError::Read { path: path.to_owned(), source })?;
    let refuse = |problem: String| RuntimeError::Package { path: path.to_owned(), problems: vec![problem] };
    let file = SafeTensors::deserialize(&bytes).map_err(|e| refuse(format!("not a safetensors file: {e}")))?;
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(refuse(format!("{name} is {:?}, accepted is F32", view.dtype())));
            }
            let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            Ok((name, Tensor { shape: view.shape().to_vec(), values }))
        })
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathering_repeats_and_reorders_along_any_axis() {
        let t = Tensor { shape: vec![2, 3], values: vec![0.0, 1.0, 2.0, 10.0, 11.0, 12.0] };
        assert_eq!(gather(&t, 1, &[2, 2, 0]).values, [2.0, 2.0, 0.0, 12.0, 12.0, 10.0]);
        assert_eq!(gather(&t, 0, &[1]), Tensor { shape: vec![1, 3], values: vec![10.0, 11.0, 12.0] });
    }
}
