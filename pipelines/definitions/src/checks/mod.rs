//! What sections say of each other: every check that needs more than one key.

mod assimilation;
mod catchments;
mod package;
mod sources;
mod stations;
mod time;

pub(crate) use assimilation::{also_updated, analyses, assimilation, rivers};
pub(crate) use catchments::{catchments, network, ratings};
pub(crate) use package::package;
pub(crate) use sources::{folder, periods, sources, stations};
pub(crate) use stations::places_and_thresholds;
pub(crate) use time::{log, model, operations, serve, time};

use crate::Catchment;

/// Problems of one kind worth reading at once.
const SHOWN: usize = 20;

fn no_station(catchments: &[Catchment]) -> String {
    format!("is no catchment's station; accepted are of {}", some(catchments.iter().map(Catchment::station)))
}

/// Names, as many as a message takes.
fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.collect::<Vec<_>>();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names.truncate(SHOWN);
    format!("{}{more}", names.join(", "))
}
