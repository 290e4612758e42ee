//! What can break where roles are processes and the log is on a cluster.

use std::time::{Duration, Instant};

use nilometer_engine::Broker;
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, Producer as _},
};

use crate::{
    Fault,
    house::{House, Plan},
    one_process::SKILL,
};

const PLAN: Plan = Plan {
    speed: 450.0,
    members: 4,
    from: "2014-10-15T00:00:00Z",
    unwatched: SKILL,
    roles: &["ingest,score,alert,notify,publish,serve", "forecast"],
};

/// An hour in eight seconds, so that a log which takes seconds is not two hours late.
pub fn open() -> House {
    House::open(&PLAN, Some(Broker::start(1)))
}

/// An hour in a second, so that fifty messages are soon behind.
pub fn open_fast() -> House {
    House::open(&Plan { speed: 3_600.0, ..PLAN }, Some(Broker::start(1)))
}

const FENCED_EVERY: Duration = Duration::from_secs(10);

fn nothing(_: &mut House) {}

/// Takes the place of the writer of forecasts, as another process with the same `log.kafka.prefix` would.
fn fence(house: &mut House) {
    if house.fenced.is_some_and(|before| before.elapsed() < FENCED_EVERY) {
        return;
    }
    let writer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", house.broker.as_ref().unwrap().address())
        .set("transactional.id", "gameday.forecast.v1/0")
        .create()
        .unwrap();
    writer.init_transactions(Duration::from_secs(10)).unwrap();
    house.fenced = Some(Instant::now());
}

pub const SLOWLY: &[Fault] = &[
    Fault {
        alerts: &["NilometerLogSlow"],
        what: "the broker gets no processor for most of each two seconds",
        beside: &[],
        breaks: |house| house.slow_broker(Some((Duration::from_millis(400), Duration::from_millis(2_000)))),
        keeps: nothing,
        mends: |house| house.slow_broker(None),
    },
    Fault {
        alerts: &["NilometerTransactionsFailing"],
        what: "another process writes forecasts in the place of ours",
        beside: &[],
        breaks: fence,
        keeps: fence,
        mends: nothing,
    },
];

pub const FAST: &[Fault] = &[
    Fault {
        alerts: &["NilometerForecastsLate"],
        what: "the process that forecasts gets hardly any processor",
        beside: &[],
        breaks: |house| house.starve(Some((1, Duration::from_millis(10)))),
        keeps: nothing,
        mends: |house| house.starve(None),
    },
    Fault {
        alerts: &["NilometerRoleBehind"],
        what: "the same, for longer",
        beside: &["NilometerForecastsLate"],
        breaks: |house| house.starve(Some((1, Duration::from_millis(10)))),
        keeps: nothing,
        mends: |house| house.starve(None),
    },
];
