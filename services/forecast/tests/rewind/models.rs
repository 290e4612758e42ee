//! Weights that change on the way, and a rewind behind that.

use nilometer_testing::scaled;

use super::*;

#[needs(cance)]
#[test]
fn a_rewind_swaps_the_weights_where_they_were_swapped() {
    let pipeline = pipeline(&[]);
    let mut rows = on_time();
    rows.iter_mut().find(|r| r.hour == 30 && r.catchment == 1).unwrap().arrives = 36;
    let other = scaled(pipeline.models.name(), 1.01);
    let with = |rows: &[Gauged], kills: &[usize], changes: &[_]| live_with(&pipeline, rows, None, kills, changes);
    let (never, punctual) = (with(&on_time(), &[], &[]), with(&on_time(), &[], &[(33, &other, 1.0)]));
    // The state goes back behind the swap, and to the weights of then.
    let late = with(&rows, &[70, 130, 300], &[(33, &other, 1.0)]);
    let until = |left: &Left, hour: i64| {
        let before = pipeline.time.from.plus_s(hour * HOUR).0;
        since(left, &pipeline, 0).into_iter().filter(|row| row.0 < before).collect::<Vec<_>>()
    };
    assert_eq!(until(&punctual, 33), until(&never, 33));
    assert_ne!(since(&punctual, &pipeline, 33), since(&never, &pipeline, 33));
    assert_eq!(since(&late, &pipeline, 36), since(&punctual, &pipeline, 36));
    assert_eq!(late.balance, punctual.balance);
    assert!(!late.superseding.is_empty() && late.dead_letters.is_empty());
}

#[needs(cance)]
#[test]
fn weights_of_another_model_are_a_dead_letter_and_the_ones_before_stay() {
    let pipeline = pipeline(&[]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/zoo/exphydro-cance");
    let other = Mixture::load(&root).unwrap();
    let refused = live_with(&pipeline, &on_time(), None, &[], &[(33, &other, 1.0)]);
    let never = live(&pipeline, &on_time(), None, &[]);
    assert_eq!(since(&refused, &pipeline, 0), since(&never, &pipeline, 0));
    assert_eq!(refused.dead_letters, [("unusable_model".to_owned(), 1)]);
    assert_eq!(refused.balance.rejected_rows(), 1);
}

#[needs(cance)]
#[test]
fn a_shadow_forecasts_what_it_would_in_force_and_changes_places_with_it() {
    let pipeline = pipeline(&[]);
    let other = scaled(pipeline.models.name(), 1.01);
    let models = pipeline.models.clone();
    let with = |rows: &[Gauged], kills: &[usize], changes: &[_]| live_with(&pipeline, rows, None, kills, changes);
    let never = with(&on_time(), &[], &[]);
    let swapped = with(&on_time(), &[], &[(20, &other, 1.0)]);
    let until = |numbers: &Numbers, hour: i64| {
        let before = pipeline.time.from.plus_s(hour * HOUR).0;
        numbers.clone().into_iter().filter(|(key, _)| key.0 < before).collect::<Numbers>()
    };
    // A shadow from 20 on, in force from 33 on, when the one before becomes its shadow, and that ends at 40.
    let changes = [(20, &other, 0.0), (33, &other, 1.0), (40, &other, 0.0)];
    let shadowed = with(&on_time(), &[], &changes);
    assert_eq!(until(&shadowed.forecasts, 33), until(&never.forecasts, 33), "a shadow changes nothing");
    assert_eq!(
        numbers_since(&until(&shadowed.shadow_forecasts, 33), &pipeline, 0),
        numbers_since(&until(&swapped.forecasts, 33), &pipeline, 20),
        "it forecasts what it would have in force since it began"
    );
    assert_eq!(since(&shadowed, &pipeline, 33), since(&swapped, &pipeline, 33));
    assert_eq!(
        numbers_since(&shadowed.shadow_forecasts, &pipeline, 33),
        numbers_since(&until(&never.forecasts, 40), &pipeline, 33),
        "the one that was in force goes on as its shadow, as if it had stayed"
    );
    assert_eq!(shadowed.dead_letters, []);

    // A late reading takes the state back behind all of that, and so do kills.
    let mut rows = on_time();
    rows.iter_mut().find(|r| r.hour == 18 && r.catchment == 1).unwrap().arrives = 24;
    let late = with(&rows, &[70, 130, 300], &changes);
    assert!(!late.superseding.is_empty());
    assert_eq!(since(&late, &pipeline, 24), since(&shadowed, &pipeline, 24));
    let shadows = [&late, &shadowed].map(|left| numbers_since(&left.shadow_forecasts, &pipeline, 24));
    assert_eq!(shadows[0], shadows[1]);
    assert_eq!(late.balance, shadowed.balance);

    // Going back is the same again.
    let back = with(&on_time(), &[], &[(20, &other, 0.0), (33, &other, 1.0), (36, &models, 1.0)]);
    assert_eq!(since(&back, &pipeline, 36), since(&never, &pipeline, 36));
}

#[needs(cance)]
#[test]
fn a_model_of_another_graph_may_be_a_shadow_and_is_never_in_force() {
    let pipeline = pipeline(&[]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/zoo/exphydro-cance");
    let other = Mixture::load(&root).unwrap();
    let never = live(&pipeline, &on_time(), None, &[]);
    let left = live_with(&pipeline, &on_time(), None, &[70, 200], &[(20, &other, 0.0), (30, &other, 1.0)]);
    assert_eq!(since(&left, &pipeline, 0), since(&never, &pipeline, 0));
    assert_eq!(left.dead_letters, [("unusable_model".to_owned(), 1)]);
    let shadow = numbers_since(&left.shadow_forecasts, &pipeline, 0);
    assert_eq!(shadow.len(), since(&never, &pipeline, 20).len());
    assert_ne!(shadow, since(&never, &pipeline, 20));
}

#[needs(cance)]
#[test]
fn a_shadow_whose_package_is_gone_ends_and_the_models_in_force_go_on() {
    let pipeline = pipeline(&[]);
    let other = scaled(pipeline.models.name(), 1.01);
    let never = live(&pipeline, &on_time(), None, &[]);
    let run = Run::new(&pipeline, &on_time(), None, &[(20, &other, 0.0)]);
    run.kill_once_there_are(Contract::ShadowForecast, 12);
    run.forget(&other);
    let left = run.end();
    assert_eq!(since(&left, &pipeline, 0), since(&never, &pipeline, 0));
    let shadow = numbers_since(&left.shadow_forecasts, &pipeline, 0);
    assert!(!shadow.is_empty() && shadow.len() < since(&never, &pipeline, 20).len());
    assert_eq!((left.failed_shadows, left.dead_letters), (1, Vec::new()));
}
