//! Ids: where a client stands in the log, the position of the newest message of each topic and partition.

use std::collections::BTreeMap;

use nilometer_schemas::Contract;

use crate::problem::Problem;

/// What may be listened to: its name, the letter of its ids, and the contract.
pub(super) const TOPICS: [(&str, char, Contract); 6] = [
    ("forecast", 'f', Contract::Forecast),
    ("event", 'e', Contract::Event),
    ("alert", 'a', Contract::Alert),
    ("drought", 'd', Contract::Drought),
    ("score", 's', Contract::Score),
    ("model", 'm', Contract::Model),
];
/// What a client has heard of each topic and partition: the position of the newest message.
pub(super) type Heard = BTreeMap<(Contract, u32), i64>;

/// An id: `f0:128734,a0:912`.
pub(super) fn said(heard: &Heard) -> String {
    let part = |((contract, number), position): (&(Contract, u32), &i64)| {
        let letter = TOPICS.into_iter().find(|(_, _, of)| of == contract).map_or('?', |(_, letter, _)| letter);
        format!("{letter}{number}:{position}")
    };
    heard.iter().map(part).collect::<Vec<_>>().join(",")
}

/// What an id says.
pub(super) fn parsed(id: &str) -> Result<Heard, Problem> {
    let part = |part: &str| {
        let (head, position) = part.trim().split_once(':')?;
        let letter = head.chars().next()?;
        let (.., contract) = TOPICS.into_iter().find(|(_, known, _)| *known == letter)?;
        let position: i64 = position.parse().ok().filter(|position| *position >= -1)?;
        Some(((contract, head[1..].parse().ok()?), position))
    };
    let refused = || {
        Problem::bad_request(format!(
            "{id} is no id of an event; accepted is one that an event had, as f0:128734,a0:912"
        ))
    };
    id.split(',').map(part).collect::<Option<Heard>>().ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    #[test]
    fn an_id_says_what_was_heard_of_each_topic() {
        let heard =
            Heard::from([((Contract::Forecast, 0), 128_734), ((Contract::Alert, 11), 912), ((Contract::Model, 0), -1)]);
        let id = said(&heard);
        assert_eq!(parsed(&id).unwrap(), heard);
        for wrong in ["", "f", "f0", "f0:x", "x0:1", "f:1", "f0:1,", "f0:-2", "é0:1"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
