use bytes::Bytes;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{Lines, Payload, RawBatch, lines_of};

use crate::{delivery, layouts};

/// Lines of text, of which the first is the header where a layout has one.
pub(crate) fn table(bytes: &[u8]) {
    let text = Bytes::copy_from_slice(bytes);
    let (start, end) = lines_of(&text).next().unwrap_or((0, 0));
    let header = text.slice(start..end);
    let body = text.slice(text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1)..);
    let known = Timestamp(1_414_800_000_000_000);
    for options in layouts::options("flow.csv") {
        let layout = options.layout().unwrap();
        let lines = Lines {
            header: layout.has_header().then(|| header.clone()),
            lines: body.clone(),
            first_line: 2,
            start: Some(known),
            times: None,
            delay_s: Some(600),
        };
        let batch = RawBatch {
            source: "fuzz".into(),
            locator: "flow.csv".into(),
            arrival: known,
            payload: Payload::Lines(lines),
        };
        delivery::decode(&batch, &layout);
    }
}
