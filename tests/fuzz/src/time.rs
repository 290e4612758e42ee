use jiff::tz::TimeZone;
use nilometer_connectors::Template;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{Span, decode::TimeFormat};

use crate::assert_described;

/// A time, a length of time, a pattern of times and one of file names; behind a line feed a text that the pattern reads.
pub(crate) fn time(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (text, read) = text.split_once('\n').unwrap_or((text, text));
    match text.parse::<Timestamp>() {
        Err(error) => assert_described(&error),
        Ok(time) => {
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
            assert!(time.floor_s(3_600) <= time && time <= time.ceil_s(3_600));
        }
    }
    match text.parse::<Span>() {
        Err(error) => assert_described(&error),
        Ok(span) => assert_eq!(span.to_string().parse::<Span>().unwrap(), span),
    }
    match TimeFormat::new(text) {
        Err(problem) => assert!(!problem.is_empty()),
        Ok(format) => {
            for zone in ["UTC", "America/New_York"] {
                if let Err(problem) = format.read(read, &TimeZone::get(zone).unwrap()) {
                    assert!(!problem.problem().is_empty());
                }
            }
        }
    }
    if let Err(error) = Template::new(text) {
        assert_described(&error);
    }
}
