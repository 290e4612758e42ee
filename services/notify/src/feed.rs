//! Feed: CAP messages and an Atom feed of them, as files of the store.

use std::{collections::BTreeMap, io, sync::Arc};

use async_trait::async_trait;
use nilometer_definitions::FeedOptions;
use nilometer_schemas::{AlertKind, Timestamp};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};
use quick_xml::{Writer, events::BytesText};
use serde::{Deserialize, Serialize};

use crate::{
    cap::{self, ATOM, Reference, headline, identifier, stamp},
    receiver::{Delivery, Failure, Receiver},
};

/// Folder of the store.
pub const FEED: &str = "feed";
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

    async fn deliver(&self, delivery: &Delivery<'_>, remembered: &mut Memory) -> Result<(), Failure> {
        // A delivery that fails half-way is done again from what was there before, so that no message refers to itself.
        let mut memory = remembered.clone();
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
        let atom = self.atom(&memory, delivery.time).map_err(|error| Failure::refused(&error))?;
        self.put(&Path::from(ATOM), atom).await?;
        *remembered = memory;
        Ok(())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use nilometer_schemas::{AlertRow, AlertState};
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
        PutPayload, PutResult, memory::InMemory,
    };

    use super::*;
    use crate::alert::tests::{alerts, row};

    /// A store whose second write fails.
    #[derive(Debug, Default)]
    struct Failing {
        store: InMemory,
        writes: AtomicUsize,
    }

    impl std::fmt::Display for Failing {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("failing")
        }
    }

    type Stored<T> = object_store::Result<T>;

    #[async_trait]
    impl ObjectStore for Failing {
        async fn put_opts(&self, key: &Path, payload: PutPayload, options: PutOptions) -> Stored<PutResult> {
            if self.writes.fetch_add(1, Ordering::Relaxed) == 1 {
                return Err(object_store::Error::NotImplemented {
                    operation: "put".into(),
                    implementer: "test".into(),
                });
            }
            self.store.put_opts(key, payload, options).await
        }

        async fn put_multipart_opts(
            &self,
            key: &Path,
            options: PutMultipartOptions,
        ) -> Stored<Box<dyn MultipartUpload>> {
            self.store.put_multipart_opts(key, options).await
        }

        async fn get_opts(&self, key: &Path, options: GetOptions) -> Stored<GetResult> {
            self.store.get_opts(key, options).await
        }

        fn delete_stream(
            &self,
            keys: futures::stream::BoxStream<'static, Stored<Path>>,
        ) -> futures::stream::BoxStream<'static, Stored<Path>> {
            self.store.delete_stream(keys)
        }

        fn list(&self, prefix: Option<&Path>) -> futures::stream::BoxStream<'static, Stored<ObjectMeta>> {
            self.store.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Stored<ListResult> {
            self.store.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Stored<()> {
            self.store.copy_opts(from, to, options).await
        }
    }

    #[tokio::test]
    async fn a_delivery_that_failed_half_way_leaves_the_messages_of_one_that_did_not() {
        let changed = alerts(&[
            row("v1", "minor", 10.0, AlertState::Watch),
            AlertRow { revision: 2, ..row("v2", "minor", 20.0, AlertState::Warning) },
        ]);
        let store = Arc::new(Failing::default());
        let options = FeedOptions {
            sender: "floods@example.org".to_owned(),
            sender_name: None,
            status: nilometer_definitions::CapStatus::Test,
            title: "Alerts".to_owned(),
            address: None,
        };
        let feed = Feed { store: store.clone(), options, valid_s: 3_600 };
        let (active, mut memory) = (BTreeMap::new(), Memory::default());
        let delivery = Delivery { time: changed[0].time, locator: "alert.v1/0@0", changed: &changed, active: &active };
        assert!(feed.deliver(&delivery, &mut memory).await.unwrap_err().later);
        assert_eq!(memory, Memory::default(), "nothing has been taken");
        feed.deliver(&delivery, &mut memory).await.unwrap();
        for alert in &changed {
            let key = Path::from(CAP).join(format!("{}.xml", identifier(alert)));
            let bytes = store.get(&key).await.unwrap().bytes().await.unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(text.contains("<msgType>Alert</msgType>") && !text.contains("<references>"), "{text}");
        }
        assert_eq!((memory.last.len(), memory.entries.len()), (2, 2));
    }
}
