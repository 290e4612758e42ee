//! Feed: CAP messages and an Atom feed of them, as files of the store.

use std::{collections::BTreeMap, io, sync::Arc};

use async_trait::async_trait;
use nilometer_definitions::FeedOptions;
use nilometer_schemas::{AlertKind, Timestamp};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};
use quick_xml::{Writer, events::BytesText};
use serde::{Deserialize, Serialize};

use crate::{
    cap::{self, Reference, headline, identifier, stamp},
    receiver::{Delivery, Failure, Receiver},
};

/// Folder of the store.
pub const FEED: &str = "feed";
/// The feed.
pub(crate) const ATOM: &str = "alerts.atom";
const CAP: &str = "cap";
/// Alerts that the feed names.
const ENTRIES: usize = 100;

/// The files.
pub(crate) struct Feed {
    /// below [`FEED`]
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) options: FeedOptions,
    /// how long a message holds: until another is due, and some more
    pub(crate) valid_s: i64,
}

/// What it remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// the last message of each alert that there is
    last: BTreeMap<String, Reference>,
    /// newest first
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    alert: String,
    identifier: String,
    title: String,
    summary: String,
    updated: Timestamp,
    published: Timestamp,
    category: String,
}

#[async_trait]
impl Receiver for Feed {
    type Memory = Memory;

    fn name(&self) -> &'static str {
        "feed"
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut Memory) -> Result<(), Failure> {
        for alert in delivery.changed.iter().filter(|alert| alert.kind != AlertKind::Gauge) {
            let before = memory.last.get(&alert.alert);
            // What passes without a message before it is no news.
            if before.is_none() && !alert.state.is_active() {
                continue;
            }
            let expires = alert.time.plus_s(self.valid_s);
            let xml = cap::message(alert, before, expires, &self.options).map_err(|error| Failure::refused(&error))?;
            let reference = Reference { identifier: identifier(alert), sent: alert.time };
            let key = Path::from(CAP).join(format!("{}.xml", reference.identifier));
            self.put(&key, xml).await?;
            let entry = Entry {
                alert: alert.alert.clone(),
                identifier: reference.identifier.clone(),
                title: headline(alert),
                summary: alert.text.clone(),
                updated: alert.time,
                published: alert.started,
                category: alert.kind.name().to_owned(),
            };
            // An entry an alert, with the newest message; a delivery that is done again adds nothing.
            memory.entries.retain(|other| other.alert != entry.alert);
            memory.entries.insert(0, entry);
            memory.entries.truncate(ENTRIES);
            if alert.state.is_active() {
                memory.last.insert(alert.alert.clone(), reference);
            } else {
                memory.last.remove(&alert.alert);
            }
        }
        let atom = self.atom(memory, delivery.time).map_err(|error| Failure::refused(&error))?;
        self.put(&Path::from(ATOM), atom).await
    }
}

impl Feed {
    async fn put(&self, key: &Path, bytes: Vec<u8>) -> Result<(), Failure> {
        self.store.put(key, bytes.into()).await.map(drop).map_err(|error| Failure::down(&error))
    }

    fn atom(&self, memory: &Memory, time: Timestamp) -> io::Result<Vec<u8>> {
        let address = self.options.address.as_deref().map_or("", |address| address.trim_end_matches('/'));
        let link = |name: &str| if address.is_empty() { name.to_owned() } else { format!("{address}/{name}") };
        let updated = memory.entries.first().map_or(time, |entry| entry.updated);
        let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
        xml.create_element("feed").with_attribute(("xmlns", "http://www.w3.org/2005/Atom")).write_inner_content(
            |xml| {
                text(xml, "id", &format!("urn:nilometer:{}", self.options.sender))?;
                text(xml, "title", &self.options.title)?;
                text(xml, "subtitle", "Automatic, not official")?;
                text(xml, "updated", &stamp(updated))?;
                xml.create_element("link").with_attributes([("rel", "self"), ("href", &link(ATOM))]).write_empty()?;
                xml.create_element("author").write_inner_content(|xml| {
                    text(xml, "name", self.options.sender_name.as_deref().unwrap_or(&self.options.sender))
                })?;
                for entry in &memory.entries {
                    xml.create_element("entry").write_inner_content(|xml| {
                        text(xml, "id", &format!("urn:nilometer:{}:{}", self.options.sender, entry.alert))?;
                        text(xml, "title", &entry.title)?;
                        text(xml, "updated", &stamp(entry.updated))?;
                        text(xml, "published", &stamp(entry.published))?;
                        xml.create_element("category")
                            .with_attribute(("term", entry.category.as_str()))
                            .write_empty()?;
                        text(xml, "summary", &entry.summary)?;
                        let href = link(&format!("{CAP}/{}.xml", entry.identifier));
                        let attributes =
                            [("rel", "alternate"), ("type", "application/cap+xml"), ("href", href.as_str())];
                        xml.create_element("link").with_attributes(attributes).write_empty()?;
                        Ok(())
                    })?;
                }
                Ok(())
            },
        )?;
        let mut bytes = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec();
        bytes.extend(xml.into_inner());
        bytes.push(b'\n');
        Ok(bytes)
    }
}

fn text(xml: &mut Writer<Vec<u8>>, name: &str, value: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(value)).map(drop)
}
