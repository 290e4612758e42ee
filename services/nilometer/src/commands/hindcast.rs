//! `nilometer hindcast`.

use std::str::FromStr;

use anyhow::Result;
use nilometer_schemas::{SchemaError, Timestamp};

use super::definition::Definition;

const DAY_S: i64 = 86_400;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    definition: Definition,
    /// folder or address for the archive; what it held before is replaced
    #[arg(long)]
    out: String,
    #[command(flatten)]
    options: Options,
}

pub async fn run(Arguments { definition, out, options }: Arguments) -> Result<()> {
    nilometer_pipeline::hindcast(definition.load_to_run(options.overrides())?, &out).await
}

/// The end of a window: a time, or a day to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until(pub Timestamp);

impl FromStr for Until {
    type Err = SchemaError;
    fn from_str(text: &str) -> Result<Self, SchemaError> {
        let begin: Timestamp = text.parse()?;
        Ok(Self(if text.len() == "2014-11-04".len() { begin.plus_s(DAY_S) } else { begin }))
    }
}

/// What differs from the definition.
#[derive(Debug, clap::Args)]
struct Options {
    /// the state begins here and warms up until --from, without forecasts going out
    #[arg(long, requires_all = ["from", "to"])]
    warm_up_from: Option<Timestamp>,
    /// what is valid after this is forecast: a time, or a day from its begin
    #[arg(long)]
    from: Option<Timestamp>,
    /// and up to this: a time, or a day to its end
    #[arg(long)]
    to: Option<Until>,
    /// lead times that go out, in steps, as 1,2,4,8,10; those of the definition when absent
    #[arg(long, value_delimiter = ',')]
    leads: Vec<u32>,
    /// how observations change the state: etkf, enkf, denkf, particle, variational, output or none; as the definition says when absent
    #[arg(long)]
    assimilation: Option<String>,
}

impl Options {
    /// The same as overrides of the definition, so that they are checked with all of it.
    fn overrides(&self) -> Vec<String> {
        let mut set = Vec::new();
        let mut say = |key: &str, value: Option<String>| set.extend(value.map(|v| format!("{key}={v}")));
        let quoted = |time: Timestamp| format!("\"{time}\"");
        say("time.from", self.warm_up_from.or(self.from).map(quoted));
        say("time.to", self.to.map(|to| quoted(to.0)));
        // The same days at every lead time, so that scores by lead time compare.
        say("forecast.from", self.warm_up_from.and(self.from).map(quoted));
        say("forecast.until", self.to.map(|to| quoted(to.0)));
        say("forecast.leads", (!self.leads.is_empty()).then(|| format!("{:?}", self.leads)));
        say("assimilation.method", self.assimilation.as_ref().map(|method| format!("{method:?}")));
        set
    }
}
