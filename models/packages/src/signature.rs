//! What an ONNX graph takes and gives, read from the file itself: a package is checked against it before any session is made.
//!
//! Of the format (onnx.proto3, protocol buffers) only the path to the shapes is read: `ModelProto.graph` (7), of that `GraphProto.input` (11)
//! and `output` (12), of each `ValueInfoProto.name` (1) and `type` (2) → `tensor_type` (1) → `shape` (2) → `dim` (1) → `dim_value` (1).

use std::collections::BTreeMap;

use crate::Card;

/// The length of each axis of a value; none where it is symbolic.
type Shape = Vec<Option<u64>>;

/// Shapes of a graph's inputs and outputs, by name.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Signature {
    inputs: BTreeMap<String, Shape>,
    outputs: BTreeMap<String, Shape>,
}

impl Signature {
    /// Of the bytes of an ONNX file; none where they are not one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut signature = Self::default();
        let mut found = false;
        for field in fields(bytes) {
            let (7, Content::Bytes(graph)) = field? else { continue };
            found = true;
            for field in fields(graph) {
                match field? {
                    (11, Content::Bytes(value)) => signature.inputs.extend([named_shape(value)?]),
                    (12, Content::Bytes(value)) => signature.outputs.extend([named_shape(value)?]),
                    _ => {}
                }
            }
        }
        found.then_some(signature)
    }

    /// Where the card says another length of an axis than the graph of this file name does.
    pub(crate) fn problems(&self, file: &str, card: &Card) -> Vec<String> {
        let (rows, inputs, attributes) = (card.state_rows(), card.inputs.len(), card.attributes.len());
        // The forcing of one step is [F, C, M], of several [T, F, C, M].
        let forcing = usize::from(file != "step.onnx");
        let sized = [
            (&self.inputs, "state", 0, rows, "rows of its [[state]] blocks"),
            (&self.outputs, "state_next", 0, rows, "rows of its [[state]] blocks"),
            (&self.inputs, "forcing", forcing, inputs, "[[input]] rows"),
            (&self.inputs, "attributes", 0, attributes, "[[attribute]] rows"),
        ];
        let problem = |(values, name, axis, said, what): (&BTreeMap<String, Shape>, _, _, _, _)| {
            let length: u64 = (*values.get(name)?.get::<usize>(axis)?)?;
            let wrong = usize::try_from(length) != Ok(said);
            wrong.then(|| format!("{file}: {name} has {length} rows in the graph, the card has {said} {what}; correct card.toml, or export the package again"))
        };
        sized.into_iter().filter_map(problem).collect()
    }
}

/// Name and shape of a `ValueInfoProto`; what is no tensor has no axes.
fn named_shape(value: &[u8]) -> Option<(String, Shape)> {
    let (mut name, mut shape) = (String::new(), Shape::new());
    for field in fields(value) {
        match field? {
            (1, Content::Bytes(text)) => name = String::from_utf8(text.to_vec()).ok()?,
            (2, Content::Bytes(kind)) => {
                let tensor = last_bytes(kind, 1)?;
                let axes = last_bytes(tensor, 2)?;
                for field in fields(axes) {
                    if let (1, Content::Bytes(axis)) = field? {
                        shape.push(length(axis)?);
                    }
                }
            }
            _ => {}
        }
    }
    Some((name, shape))
}

/// The length of a `Dimension`; none where it is a name or left open.
fn length(axis: &[u8]) -> Option<Option<u64>> {
    let mut length = None;
    for field in fields(axis) {
        if let (1, Content::Number(value)) = field? {
            length = Some(value);
        }
    }
    Some(length)
}

/// The last field of this number, which is the one that counts; empty where there is none.
fn last_bytes(message: &[u8], number: u64) -> Option<&[u8]> {
    let mut last: &[u8] = &[];
    for field in fields(message) {
        match field? {
            (at, Content::Bytes(bytes)) if at == number => last = bytes,
            _ => {}
        }
    }
    Some(last)
}

enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// a fixed-length number, which nothing here asks for
    Other,
}

/// The fields of a message, number and content; none in the place of the first that is damaged, and nothing behind it.
fn fields(message: &[u8]) -> impl Iterator<Item = Option<(u64, Content<'_>)>> {
    let mut rest = Some(message);
    std::iter::from_fn(move || {
        let mut bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        let field = next_field(&mut bytes);
        rest = field.is_some().then_some(bytes);
        Some(field)
    })
}

fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Content<'a>)> {
    let key = varint(bytes)?;
    let content = match key & 7 {
        0 => Content::Number(varint(bytes)?),
        1 => take(bytes, 8).map(|_| Content::Other)?,
        2 => {
            let length = varint(bytes)?;
            Content::Bytes(take(bytes, length)?)
        }
        5 => take(bytes, 4).map(|_| Content::Other)?,
        _ => return None,
    };
    Some((key >> 3, content))
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (content, behind) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = behind;
    Some(content)
}

/// A base-128 number of at most ten bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let (byte, behind) = bytes.split_first()?;
        *bytes = behind;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes; all of this test are shorter than 128.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }

    /// A value of these axes, of which 0 is symbolic.
    fn value(name: &str, axes: &[u8]) -> Vec<u8> {
        let axis = |length: &u8| match length {
            0 => field(1, &field(2, b"C")),
            length => field(1, &[8, *length]),
        };
        let shape = axes.iter().flat_map(axis).collect::<Vec<_>>();
        let tensor = [vec![8, 1], field(2, &shape)].concat();
        [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
    }

    fn model(inputs: &[(&str, &[u8])]) -> Vec<u8> {
        let graph: Vec<u8> = inputs.iter().flat_map(|(name, axes)| field(11, &value(name, axes))).collect();
        [vec![8, 9], field(7, &graph)].concat()
    }

    #[test]
    fn shapes_are_read_and_symbolic_axes_are_open() {
        let signature = Signature::read(&model(&[("state", &[19, 0, 0]), ("f", &[0])])).unwrap();
        assert_eq!(signature.inputs["state"], [Some(19), None, None]);
        assert_eq!(signature.inputs["f"], [None]);
    }

    #[test]
    fn what_is_cut_off_or_no_graph_is_none() {
        let whole = model(&[("state", &[19, 0, 0])]);
        assert!((1..whole.len()).all(|length| Signature::read(&whole[..length]).is_none()));
        assert!([&b""[..], b"<html>", &[0xff; 40]].into_iter().all(|bytes| Signature::read(bytes).is_none()));
    }
}
