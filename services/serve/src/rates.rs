//! Rates: how often one client may ask. A client is an address: who sends another token with each request is still one.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::HashMapStateStore,
};

use utoipa::openapi::{OpenApi as Document, RefOr, Response as Refused};

use crate::problem::Problem;

/// Requests that may come at once, as seconds of the rate: a page asks for much when it opens.
const BURST_S: u32 = 5;
/// Requests after which clients that have been quiet are forgotten: so many more may be remembered.
const REMEMBERED: usize = 10_000;

/// How often each client may ask.
pub(crate) struct Rates {
    limiter: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>,
    per_s: NonZeroU32,
    clock: DefaultClock,
    /// requests so far
    asked: AtomicUsize,
}

impl Rates {
    /// So many requests a second; none where they are not counted.
    pub(crate) fn new(per_s: u32) -> Option<Arc<Self>> {
        let per_s = NonZeroU32::new(per_s)?;
        let burst = per_s.saturating_mul(NonZeroU32::new(BURST_S)?);
        let quota = Quota::per_second(per_s).allow_burst(burst);
        let clock = DefaultClock::default();
        Some(Arc::new(Self {
            limiter: RateLimiter::new(quota, HashMapStateStore::default(), clock.clone()),
            per_s,
            clock,
            asked: AtomicUsize::new(0),
        }))
    }

    /// Whether an address may ask now; how many seconds it is to wait where not.
    fn check(&self, client: IpAddr) -> Result<(), u64> {
        // Looking at all of them costs as many steps, so it is not done for each request.
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(REMEMBERED) {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&client).map_err(|until| until.wait_time_from(self.clock.now()).as_secs() + 1)
    }
}

/// Refuses who asks more often than the definition lets one client.
pub(crate) async fn paced(State(rates): State<Arc<Rates>>, request: Request, next: Next) -> Response {
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|client| client.0.ip());
    let Some(Err(wait_s)) = client.map(|client| rates.check(client)) else { return next.run(request).await };
    let detail =
        format!("more than {} requests a second (serve.requests_per_s); accepted is to wait {wait_s} s", rates.per_s);
    let mut response = Problem::too_many(detail).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
    response
}

/// Says in a document that each of its operations may be refused so.
pub(crate) fn described(mut document: Document) -> Document {
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            let refused = || RefOr::T(Refused::new("too many requests at once, or of one client"));
            operation.responses.responses.entry("429".to_owned()).or_insert_with(refused);
        }
    }
    document
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    #[test]
    fn one_client_is_held_back_and_another_is_not() {
        let rates = Rates::new(1).unwrap();
        let [one, other] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        let refused = (0..20).filter(|_| rates.check(one).is_err()).count();
        assert!((14..=15).contains(&refused), "{refused} of 20 within five seconds of one a second");
        assert_eq!(rates.check(one), Err(1));
        assert_eq!(rates.check(other), Ok(()));
        assert!(Rates::new(0).is_none());
    }
}
