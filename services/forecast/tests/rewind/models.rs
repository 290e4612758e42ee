//! Weights that change on the way, and a rewind behind that.

use nilometer_testing::scaled;

use super::*;

#[test]
fn a_rewind_swaps_the_weights_where_they_were_swapped() {
    let Some(pipeline) = pipeline(&[]) else { return };
    let mut rows = on_time();
    rows.iter_mut().find(|r| r.hour == 30 && r.catchment == 1).unwrap().arrives = 36;
    let other = scaled(pipeline.models.name(), 1.01);
    let with = |rows: &[Gauged], kills: &[usize], swap| live_with(&pipeline, rows, None, kills, swap);
    let (never, punctual) = (with(&on_time(), &[], None), with(&on_time(), &[], Some((33, &other))));
    // The state goes back behind the swap, and to the weights of then.
    let late = with(&rows, &[70, 130, 300], Some((33, &other)));
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

#[test]
fn weights_of_another_model_are_a_dead_letter_and_the_ones_before_stay() {
    let Some(pipeline) = pipeline(&[]) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/zoo/exphydro-cance");
    let other = Mixture::load(&root).unwrap();
    let refused = live_with(&pipeline, &on_time(), None, &[], Some((33, &other)));
    let never = live(&pipeline, &on_time(), None, &[]);
    assert_eq!(since(&refused, &pipeline, 0), since(&never, &pipeline, 0));
    assert_eq!(refused.dead_letters, [("unusable_model".to_owned(), 1)]);
    assert_eq!(refused.balance.rejected_rows(), 1);
}
