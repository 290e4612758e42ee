//! Each moment of a compaction: it fails there, a reader reads there, or another compaction goes on there.

use std::sync::Arc;

use nilometer_archive::{ArchiveError, compact, visit};
use nilometer_schemas::Contract;
use object_store::{Error, memory::InMemory};

use crate::{
    compacted, day,
    rows::{publish, publish_hours, rows_of_hours, visited},
    stepped::{AtStep, Listing, Stepped},
};

const CONTRACT: Contract = Contract::Observation;
/// More than a reader reads a day.
const CHANGES: usize = 24;
const LISTINGS: [Listing; 2] = [Listing::Ascending, Listing::Descending];

/// A day before its first compaction, and one that was compacted and has new messages since.
async fn stores() -> [Arc<InMemory>; 2] {
    let [first, second] = [InMemory::new(), InMemory::new()];
    publish_hours(&first, CONTRACT, 0..3).await;
    publish_hours(&second, CONTRACT, 0..2).await;
    compacted(&second, CONTRACT).await;
    publish_hours(&second, CONTRACT, 2..3).await;
    [first, second].map(Arc::new)
}

async fn each_row_is_seen_once(store: &Arc<InMemory>, hours: i64, when: &str) {
    assert!(visited(&**store, CONTRACT).await == rows_of_hours(CONTRACT, 0..hours), "{when}");
}

#[tokio::test]
async fn a_compaction_that_fails_at_any_step_loses_nothing_and_the_next_completes() {
    for kind in 0..2 {
        let mut failed = 0;
        for step in 0.. {
            let [first, second] = stores().await;
            let store = if kind == 0 { first } else { second };
            let failing = Stepped::failing(&store, step);
            let when = format!("store {kind}, step {step}");
            let listed = day(&*store, CONTRACT).await;
            if compact(&failing, &listed).await.is_ok() {
                assert!(step >= failing.steps(), "{when}: a failure is said");
                break;
            }
            failed += 1;
            each_row_is_seen_once(&store, 3, &when).await;
            // After a crash the role publish writes its last messages again, and goes on.
            publish_hours(&*store, CONTRACT, 1..3).await;
            each_row_is_seen_once(&store, 3, &when).await;
            publish_hours(&*store, CONTRACT, 3..4).await;
            each_row_is_seen_once(&store, 4, &when).await;
            let after = compacted(&*store, CONTRACT).await;
            assert!(after.is_compact(), "{when}: {after:?}");
            each_row_is_seen_once(&store, 4, &when).await;
        }
        assert!(failed > 20, "{failed}");
    }
}

#[tokio::test]
async fn a_reader_at_any_step_of_a_compaction_sees_each_row_once() {
    for listing in LISTINGS {
        for store in stores().await {
            let inner = store.clone();
            let at_step: AtStep = Arc::new(move |step| {
                let inner = inner.clone();
                Box::pin(async move {
                    each_row_is_seen_once(&inner, 3, &format!("step {step}")).await;
                    Ok(())
                })
            });
            let compacting = Stepped::new(&store, listing, at_step);
            let after = compact(&compacting, &day(&*store, CONTRACT).await).await.unwrap();
            assert!(after.is_compact() && compacting.steps() > 20);
        }
    }
}

#[tokio::test]
async fn a_compaction_at_any_step_of_a_reader_lets_it_see_each_row_once() {
    for listing in LISTINGS {
        for kind in 0..2 {
            for step in 0.. {
                let [first, second] = stores().await;
                let store = if kind == 0 { first } else { second };
                let inner = store.clone();
                let at_step: AtStep = Arc::new(move |now| {
                    let inner = inner.clone();
                    Box::pin(async move {
                        if now == step {
                            compacted(&*inner, CONTRACT).await;
                        }
                        Ok(())
                    })
                });
                let reading = Stepped::new(&store, listing, at_step);
                let seen = visited(&reading, CONTRACT).await;
                assert!(seen == rows_of_hours(CONTRACT, 0..3), "{listing:?}, store {kind}, step {step}");
                if step >= reading.steps() {
                    break;
                }
            }
        }
    }
}

/// Between any two steps of a reader a message comes and a compaction takes it in: the reader sees what was there when it began, and gives up at
/// last with an error where that never ends.
#[tokio::test]
async fn a_reader_whose_day_changes_at_every_step_sees_each_row_once_or_gives_up() {
    for every in 1..12 {
        let store = Arc::new(InMemory::new());
        publish_hours(&*store, CONTRACT, 0..3).await;
        let inner = store.clone();
        let at_step: AtStep = Arc::new(move |now| {
            let inner = inner.clone();
            Box::pin(async move {
                if now % every == 0 && now / every < CHANGES {
                    publish(&*inner, CONTRACT, 2 + (now / every) as u32, 3).await;
                    compacted(&*inner, CONTRACT).await;
                }
                Ok(())
            })
        });
        let reading = Stepped::new(&store, Listing::Ascending, at_step);
        let mut rows = Vec::new();
        let read = visit(&reading, CONTRACT, None, |batch| {
            rows.extend(crate::rows::comparable(&batch));
            Ok::<_, ArchiveError>(())
        });
        match read.await {
            Ok(_) => {
                let mut distinct = rows.clone();
                distinct.sort();
                distinct.dedup();
                assert_eq!(distinct.len(), rows.len(), "every {every}");
                assert!(rows_of_hours(CONTRACT, 0..3).iter().all(|row| rows.contains(row)), "every {every}");
            }
            Err(ArchiveError::Gone { .. }) => assert!(rows.is_empty(), "every {every}"),
            Err(error) => unreachable!("every {every}: {error}"),
        }
    }
}

#[tokio::test]
async fn of_two_compactions_at_once_one_commits_and_the_other_goes_on_from_it() {
    for listing in LISTINGS {
        for kind in 0..2 {
            for new in [false, true] {
                for step in 0.. {
                    let [first, second] = stores().await;
                    let store = if kind == 0 { first } else { second };
                    let inner = store.clone();
                    let at_step: AtStep = Arc::new(move |now| {
                        let inner = inner.clone();
                        Box::pin(async move {
                            if now == step {
                                if new {
                                    publish_hours(&*inner, CONTRACT, 3..4).await;
                                }
                                compacted(&*inner, CONTRACT).await;
                            }
                            Ok::<_, Error>(())
                        })
                    });
                    let compacting = Stepped::new(&store, listing, at_step);
                    compact(&compacting, &day(&*store, CONTRACT).await).await.unwrap();
                    let when = format!("{listing:?}, store {kind}, new {new}, step {step}");
                    if step >= compacting.steps() {
                        break;
                    }
                    let hours = if new { 4 } else { 3 };
                    each_row_is_seen_once(&store, hours, &when).await;
                    assert!(compacted(&*store, CONTRACT).await.is_compact(), "{when}");
                    each_row_is_seen_once(&store, hours, &when).await;
                }
            }
        }
    }
}
