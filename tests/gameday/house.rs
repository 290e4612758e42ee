//! The demonstration that is broken: twelve stations on the Cance's weather, in processes whose clock is that of an exercise.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nilometer_engine::{Broker, Exercise, now};
use nilometer_schemas::Timestamp;
use nilometer_testing::{Definition, TableSource, toml};

use crate::{
    feed::{Feed, Station, time},
    monitor::{Active, Monitor, free_port},
    receiver::Receiver,
    support::{
        hours::{GAUGES, Hours},
        nilometer,
        processes::Process,
        succeed,
    },
};

/// Where the data begin, and the exercises.
const BEGINS: &str = "2014-10-25T00:00:00Z";
const ENDS: &str = "2015-01-15T00:00:00Z";
const STATIONS: usize = 12;
/// Between two ticks of a starved process.
const STARVED_EVERY: Duration = Duration::from_millis(200);

/// A process of the demonstration.
pub struct Part {
    pub roles: Option<&'static str>,
    pub port: u16,
    pub process: Option<Process>,
}

pub struct House {
    pub folder: PathBuf,
    pub store: PathBuf,
    /// unmounted at the end
    mounted: bool,
    pub definition: PathBuf,
    set: Vec<String>,
    pub parts: Vec<Part>,
    pub feed: Feed,
    pub receiver: Receiver,
    pub monitor: Monitor,
    pub broker: Option<Broker>,
    /// stream clients that have stopped reading
    pub stalled: Vec<TcpStream>,
    /// when another has written in the place of a role
    pub fenced: Option<Instant>,
    /// what a starved process is held down by
    starving: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    /// what was there before it was broken
    pub kept: Option<Vec<u8>>,
    _temporary: tempfile::TempDir,
}

/// What a demonstration is like.
pub struct Plan {
    pub speed: f64,
    pub members: i64,
    /// where the hindcast that warms it up begins
    pub from: &'static str,
    /// alerts that are not watched
    pub unwatched: &'static [&'static str],
    /// the roles of each process; all in one where there is none
    pub roles: &'static [&'static str],
}

fn stations() -> Vec<Station> {
    let station = |number: usize| Station {
        id: format!("S{number:02}"),
        gauge: number % GAUGES.len(),
        scale: 1.0 + (number / GAUGES.len()) as f64 * 0.05,
        far: number >= STATIONS - 2,
    };
    (0..STATIONS).map(station).collect()
}

fn definition(folder: &Path, hours: &Hours, plan: &Plan, receiver: u16) -> PathBuf {
    let pet = "potential_evapotranspiration";
    let of_all = Definition::new("gameday", "1h", plan.from, ENDS)
        .set("time.tick", "1h")
        .model("hybrid-cance")
        .section_of_cance("assimilation")
        .section_of_cance("forecast")
        .set("assimilation.members", plan.members)
        .set("forecast.scenario", "members")
        .set("forecast.score", true)
        // Intervals fit the weeks of the exercise soon.
        .set("forecast.calibration_rate", 0.05)
        .set("log.snapshot_every", 3)
        .set("serve.memory", "1d")
        .set("alerts.webhook.url", format!("http://127.0.0.1:{receiver}/"))
        .source("rain", TableSource::new("rain.csv", "rain", "precipitation", "mm").period("1h"))
        .source("pet", TableSource::new("pet.csv", "pet", pet, "mm").period("1h"))
        .source("flow", TableSource::new("flow.csv", "flow", "discharge", "m3 s-1"))
        .source("far", TableSource::new("far.csv", "flow", "discharge", "m3 s-1"))
        .source(
            "nwp",
            TableSource::new("nwp.csv", "mm", "precipitation", "mm")
                .period("1h")
                .set("forecast", toml! { issue_time = "issued" }),
        );
    let add = |definition: Definition, station: &Station| {
        let (gauge, area_km2) = GAUGES[station.gauge];
        let peak =
            hours.flow.iter().filter(|((of, _), _)| *of == station.gauge).map(|(_, flow)| *flow).fold(0.0, f64::max);
        let threshold = |(id, value): (&str, f64)| {
            toml::Value::Table(toml! { id = id
            name = id
            value = value
            unit = "m3 s-1"
            kind = "flow" })
        };
        // There is always an alert of the first station to speak of.
        let lowest = (station.id == "S00").then_some(("always", 0.001));
        let levels = [("minor", peak * station.scale * 0.35), ("major", peak * station.scale * 0.85)];
        let mut keys = toml! { timezone = "Europe/Paris" };
        keys.insert("parameters".to_owned(), gauge.into());
        keys.insert("river".to_owned(), format!("River {}", station.gauge + 1).into());
        keys.insert(
            "thresholds".to_owned(),
            lowest.into_iter().chain(levels).map(threshold).collect::<Vec<_>>().into(),
        );
        definition.catchment(&station.id, area_km2 * station.scale, keys)
    };
    stations().iter().fold(of_all, add).write(folder)
}

impl House {
    /// Warms the demonstration up by a hindcast, and starts its processes and those that watch it.
    pub fn open(plan: &Plan, broker: Option<Broker>) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().to_owned();
        println!("preparing in {}", folder.display());
        let store = folder.join("store");
        fs::create_dir(&store).unwrap();
        // A disk of its own, that it can be filled.
        let mounted = broker.is_none() && {
            let mut mount = Command::new("mount");
            mount
                .args(["-t", "tmpfs", "-o", "size=1g", "tmpfs"])
                .arg(&store)
                .status()
                .is_ok_and(|status| status.success())
        };
        let receiver = Receiver::start();
        let hours = Hours::of_the_cance(&folder, plan.from, ENDS);
        let definition = definition(&folder, &hours, plan, receiver.port);
        let [from, begins]: [Timestamp; 2] = [plan.from, BEGINS].map(|text| text.parse().unwrap());
        let deliver = Feed::begin(&folder, hours, stations(), from, begins);
        let mut set = vec![format!("log.store={}", store.display())];
        if let Some(broker) = &broker {
            set.push(format!("log.kafka={{ brokers = \"{}\", prefix = \"gameday.\" }}", broker.address()));
            crate::support::processes::create_topics(&definition, &set);
        }
        let mut hindcast =
            nilometer("hindcast", &definition, &[set.clone(), vec![format!("time.to={begins}")]].concat());
        hindcast.arg("--out").arg(&store);
        succeed(hindcast);
        let exercise = Exercise { at: now().plus_s(3), shows: begins, speed: plan.speed };
        set.push(format!(
            "operations.exercise={{ at = \"{}\", shows = \"{}\", speed = {:?} }}",
            exercise.at, exercise.shows, exercise.speed
        ));
        let feed = deliver(exercise);
        let of_roles = |roles: Option<&'static str>| Part { roles, port: free_port(), process: None };
        let parts: Vec<Part> = match plan.roles {
            [] => vec![of_roles(None)],
            roles => roles.iter().map(|roles| of_roles(Some(roles))).collect(),
        };
        let targets: Vec<String> = parts.iter().map(|part| format!("127.0.0.1:{}", part.port)).collect();
        let monitor = Monitor::start(&folder, &targets, plan.unwatched);
        let mut house = Self {
            folder,
            store,
            mounted,
            definition,
            set,
            parts,
            feed,
            receiver,
            monitor,
            broker,
            stalled: Vec::new(),
            fenced: None,
            starving: None,
            kept: None,
            _temporary: temporary,
        };
        (0..house.parts.len()).for_each(|part| house.start(part));
        println!("running at http://127.0.0.1:{}, an hour in {:.2} s", house.parts[0].port, 3_600.0 / plan.speed);
        // Until rates and shares have what they are made of.
        std::thread::sleep(Duration::from_secs(20));
        println!("the exercise is at {}", time(exercise));
        house
    }

    pub fn start(&mut self, part: usize) {
        let Part { roles, port, process } = &mut self.parts[part];
        let set = [self.set.clone(), vec![format!("serve.address=127.0.0.1:{port}")]].concat();
        let mut command = nilometer("run", &self.definition, &set);
        command.args(roles.iter().flat_map(|roles| ["--role", roles]));
        *process = Some(Process::start(command, self.folder.join(format!("{part}.log"))));
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self, part: usize) {
        if let Some(mut process) = self.parts[part].process.take() {
            process.kill();
        }
    }

    /// Gives a process a few milliseconds of each fifth of a second; none gives all back.
    pub fn starve(&mut self, part: Option<(usize, Duration)>) {
        if let Some((ended, thread)) = self.starving.take() {
            ended.store(true, Ordering::Relaxed);
            thread.join().unwrap();
        }
        let Some((part, run)) = part else { return };
        let id = self.parts[part].process.as_ref().unwrap().child.id();
        self.starving = Some(held_down(vec![id], run, STARVED_EVERY));
    }

    /// Holds the broker down: it runs for a while of each period.
    pub fn slow_broker(&mut self, run: Option<(Duration, Duration)>) {
        if let Some((ended, thread)) = self.starving.take() {
            ended.store(true, Ordering::Relaxed);
            thread.join().unwrap();
        }
        if let Some((run, every)) = run {
            self.starving = Some(held_down(brokers(), run, every));
        }
    }

    pub fn active(&self) -> Vec<Active> {
        self.monitor.active()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.parts[0].port)
    }

    /// The end of what the processes have said.
    pub fn said(&self) -> String {
        let of_part = |part: usize| {
            let text = fs::read_to_string(self.folder.join(format!("{part}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| !line.contains(" INFO ")).collect();
            lines[lines.len().saturating_sub(6)..].join("\n")
        };
        (0..self.parts.len()).map(of_part).collect::<Vec<_>>().join("\n")
    }

    /// A command of the binary that ends well.
    pub fn command(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.args(arguments).arg("--store").arg(&self.store);
        succeed(command);
    }
}

/// Stops processes and lets them run for a while of each period, until `ended`.
fn held_down(ids: Vec<u32>, run: Duration, every: Duration) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let ended = Arc::new(AtomicBool::new(false));
    let over = ended.clone();
    let signal = move |name: &str| {
        let ids = ids.iter().map(u32::to_string);
        drop(Command::new("kill").arg(format!("-{name}")).args(ids).status());
    };
    let thread = std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            signal("STOP");
            std::thread::sleep(every - run);
            signal("CONT");
            std::thread::sleep(run);
        }
    });
    (ended, thread)
}

/// The brokers that this process has started.
fn brokers() -> Vec<u32> {
    let parent = |id: u32| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    let is_ours = |id: &u32| std::iter::successors(Some(*id), |id| parent(*id)).any(|id| id == std::process::id());
    let is_kafka =
        |id: &u32| fs::read_to_string(format!("/proc/{id}/cmdline")).is_ok_and(|text| text.contains("kafka.Kafka"));
    let ids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(is_kafka).filter(is_ours).collect()
}

impl Drop for House {
    fn drop(&mut self) {
        self.starve(None);
        (0..self.parts.len()).for_each(|part| self.kill(part));
        if self.mounted {
            drop(Command::new("umount").arg(&self.store).status());
        }
    }
}
