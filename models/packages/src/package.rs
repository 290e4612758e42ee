//! A package: a folder whose every file is what its card says.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::{Card, PackageError, files::Files, signature::Signature};

pub(crate) const CARD: &str = "card.toml";
const WEIGHTS: &str = "weights.safetensors";

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
    places: Vec<usize>,
    /// `[A, C]`, empty where the package takes none
    attributes: Vec<f32>,
}

impl Selection {
    /// How many catchments.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// The attributes `[A, C]`, in the card's order and units.
    pub fn attributes_mut(&mut self) -> &mut [f32] {
        &mut self.attributes
    }

    /// Where each lies on the weights' catchment axis.
    #[must_use]
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// Whether there is no catchment.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// A verified model package. A copy shares its contents.
#[derive(Debug, Clone)]
pub struct Package(Arc<Contents>);

#[derive(Debug)]
struct Contents {
    /// folder or key, for messages
    origin: PathBuf,
    card: Card,
    /// the card among them
    files: BTreeMap<String, Arc<[u8]>>,
    weights: BTreeMap<String, Tensor>,
}

impl Package {
    /// Reads a folder and verifies it: the card, the hash of every file, the rows of every graph, the shape of every weight.
    ///
    /// # Errors
    /// [`PackageError`] names the file and lists every problem found in it.
    pub fn load(folder: &Path) -> Result<Self, PackageError> {
        Self::read(Files::Folder(folder), Path::new(""))
    }

    /// As [`Package::load`], from the folder `below` of `files`.
    pub(crate) fn read(files: Files<'_>, below: &Path) -> Result<Self, PackageError> {
        let (path, text) = (files.path(&below.join(CARD)), text(files, &below.join(CARD))?);
        let card: Card =
            toml::from_str(&text).map_err(|source| PackageError::Card { path, source: Box::new(source) })?;
        let mut problems = card.problems();
        for required in ["step.onnx", "rollout.onnx", WEIGHTS] {
            if !card.sha256.contains_key(required) {
                problems.push(format!("the card has no sha256 for {required}"));
            }
        }
        let mut found = BTreeMap::from([(CARD.to_owned(), Arc::from(text.into_bytes()))]);
        for (file, expected) in &card.sha256 {
            match files.read(&below.join(file)) {
                Ok(bytes) => {
                    problems.extend(file_problems(file, &bytes, expected, &card));
                    found.insert(file.clone(), bytes);
                }
                Err(e) => problems.push(format!("{file} is on the card but cannot be read: {e}")),
            }
        }
        let origin = files.path(below);
        if !problems.is_empty() {
            return Err(PackageError::Package { path: origin, problems });
        }
        let weights = read_tensors(&origin.join(WEIGHTS), &found[WEIGHTS])?;
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
        if problems.is_empty() {
            Ok(Self(Arc::new(Contents { origin, card, files: found, weights })))
        } else {
            Err(PackageError::Package { path: origin, problems })
        }
    }

    /// The card.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.0.card
    }

    /// SHA-256 of the weights file: which weights made a forecast.
    #[must_use]
    pub fn weights_sha256(&self) -> &str {
        self.sha256(WEIGHTS)
    }

    /// SHA-256 of a file of the package, empty for one that the card does not list.
    #[must_use]
    pub fn sha256(&self, file: &str) -> &str {
        self.0.card.sha256.get(file).map_or("", String::as_str)
    }

    /// The name of a file of the package in messages.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.origin.join(file)
    }

    /// The bytes of a file of the package, none of one that the card does not list.
    #[must_use]
    pub fn bytes(&self, file: &str) -> &[u8] {
        self.0.files.get(file).map_or(&[], |bytes| bytes)
    }

    /// Every file, the card among them, by name.
    pub(crate) fn files(&self) -> &BTreeMap<String, Arc<[u8]>> {
        &self.0.files
    }

    /// The catchments of these names, which the package has parameters for. One may be named more than once.
    ///
    /// # Errors
    /// [`PackageError::UnknownCatchment`] for one that the card does not list, [`PackageError::Attributes`] when the package
    /// tells catchments apart by attributes.
    pub fn select<S: AsRef<str>>(&self, catchments: &[S]) -> Result<Selection, PackageError> {
        if !self.0.card.attributes.is_empty() {
            return Err(self.wants_attributes("none are given".to_owned()));
        }
        let place = |wanted: &str| {
            self.0.card.catchments.iter().position(|c| c == wanted).ok_or_else(|| PackageError::UnknownCatchment {
                model: self.0.card.name.clone(),
                catchment: wanted.to_owned(),
                known: shortened(&self.0.card.catchments),
            })
        };
        let places = catchments.iter().map(|wanted| place(wanted.as_ref())).collect::<Result<_, _>>()?;
        Ok(Selection { places, attributes: Vec::new() })
    }

    /// Any catchments, described by `attributes` `[A, C]` in the card's order and units.
    ///
    /// # Errors
    /// [`PackageError::Attributes`] when their number does not fit, one is no finite number, or the package takes none.
    pub fn describe(&self, catchments: usize, attributes: Vec<f32>) -> Result<Selection, PackageError> {
        let wanted = &self.0.card.attributes;
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

    fn wants_attributes(&self, given: String) -> PackageError {
        let names: Vec<String> = self.0.card.attributes.iter().map(|a| a.name.clone()).collect();
        PackageError::Attributes { model: self.0.card.name.clone(), given, wanted: names.join(", ") }
    }

    /// What a graph takes for these catchments beside state and forcing: every weight, gathered along its catchment axis, and the
    /// attributes.
    pub fn gathered(&self, selection: &Selection) -> BTreeMap<&str, Tensor> {
        let catchments = &selection.places;
        let attributes = (!self.0.card.attributes.is_empty()).then(|| {
            let shape = vec![self.0.card.attributes.len(), catchments.len()];
            ("attributes", Tensor { shape, values: selection.attributes.clone() })
        });
        self.0
            .card
            .weights
            .iter()
            .filter_map(|w| Some((w.name.as_str(), self.0.weights.get(&w.name)?, w.catchment_axis)))
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

/// The text of a card.
pub(crate) fn text(files: Files<'_>, file: &Path) -> Result<String, PackageError> {
    let text =
        |bytes: Arc<[u8]>| String::from_utf8(bytes.to_vec()).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e));
    files.read(file).and_then(text).map_err(|source| PackageError::Read { path: files.path(file), source })
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

/// Every tensor of a safetensors file, which must all be float32; `path` names it in messages.
///
/// # Errors
/// [`PackageError::Package`] says what is wrong with it.
pub fn read_tensors(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, PackageError> {
    let refuse = |problem: String| PackageError::Package { path: path.to_owned(), problems: vec![problem] };
    let file = SafeTensors::deserialize(bytes).map_err(|e| refuse(format!("not a safetensors file: {e}")))?;
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
