//! Access: tokens and what each allows.
//!
//! A token is 256 random bits, shown once; the store keeps its SHA-256 with a name, a scope and an end, an object each below `access/`.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::TryStreamExt as _;
use nilometer_engine::now;
use nilometer_schemas::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, path::Path};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Site, problem::Problem};

/// Folder of a store that holds them.
pub const ACCESS: &str = "access";
/// What every token begins with, so that a leaked one is found.
const PREFIX: &str = "nilometer_";
/// How long a token may hold: ten years.
const LONGEST_S: i64 = 3_653 * 86_400;
/// How long what was read of the store holds: a token that is revoked is refused that much later.
const HOLDS: Duration = Duration::from_secs(5);

/// What a token allows. Each allows what comes before it as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// to look at everything
    Read,
    /// to act on alerts
    Operate,
    /// to change what runs
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.name() == word)
            .ok_or_else(|| format!("{word} is no scope; accepted is read, operate or admin"))
    }
}

/// What the store keeps of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// whose it is: what stands in operator.v1 for what is done with it
    pub name: String,
    /// what it allows
    pub scope: Scope,
    /// SHA-256 of the token, hexadecimal
    pub sha256: String,
    /// when it was made
    pub created: Timestamp,
    /// until when it holds
    pub expires: Timestamp,
}

/// Why tokens cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// the store failed
    #[error("{key}: the object store failed")]
    Store {
        /// object key
        key: String,
        /// the store's error
        #[source]
        source: object_store::Error,
    },
    /// an object is not what we had written
    #[error("{key}: {detail}; accepted is what `nilometer token new` writes: remove the object")]
    Damaged {
        /// object key
        key: String,
        /// what is wrong
        detail: String,
    },
    /// there is one of that name
    #[error("there is a token named {name}; accepted is another name, or `nilometer token revoke {name}` first")]
    Taken {
        /// the name
        name: String,
    },
    /// the name cannot be one
    #[error("{name:?} is no name of a token; accepted are 1 to 64 of a-z, A-Z, 0-9, - and _")]
    Name {
        /// the name
        name: String,
    },
    /// it would hold for too long
    #[error("until {expires} is too long; accepted are ten years")]
    Expires {
        /// until when
        expires: Timestamp,
    },
    /// there is none of that name
    #[error("no token named {name}; `nilometer token list` shows which there are")]
    Absent {
        /// the name
        name: String,
    },
    /// no random numbers
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The tokens of a store.
#[derive(Clone)]
pub struct Tokens {
    store: Arc<dyn ObjectStore>,
}

impl Tokens {
    /// Those of `store`.
    #[must_use]
    pub fn of_store(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Makes one, and gives it: it can be read nowhere later.
    ///
    /// # Errors
    /// [`AccessError`] where the name is taken or means nothing, or the store fails.
    pub async fn new_token(&self, name: &str, scope: Scope, expires: Timestamp) -> Result<String, AccessError> {
        if expires > now().plus_s(LONGEST_S) {
            return Err(AccessError::Expires { expires });
        }
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).map_err(AccessError::Random)?;
        let text = format!("{PREFIX}{}", hexadecimal(&bits));
        let token = Token { name: name.to_owned(), scope, sha256: digest(&text), created: now(), expires };
        let key = key(name)?;
        let store = |source| AccessError::Store { key: key.to_string(), source };
        let bytes = serde_json::to_vec_pretty(&token)
            .map_err(|error| AccessError::Damaged { key: key.to_string(), detail: error.to_string() })?;
        match self.store.put_opts(&key, bytes.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(text),
            Err(object_store::Error::AlreadyExists { .. }) => Err(AccessError::Taken { name: name.to_owned() }),
            Err(error) => Err(store(error)),
        }
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self) -> Result<Vec<Token>, AccessError> {
        let store = |key: &str| {
            let key = key.to_owned();
            move |source| AccessError::Store { key, source }
        };
        let listed: Vec<_> = self.store.list(Some(&Path::from(ACCESS))).try_collect().await.map_err(store(ACCESS))?;
        let mut tokens: Vec<Token> = Vec::new();
        for object in listed {
            let key = object.location.to_string();
            let got = match self.store.get(&object.location).await {
                // Revoked just now.
                Err(object_store::Error::NotFound { .. }) => continue,
                got => got.map_err(store(&key))?,
            };
            let bytes = got.bytes().await.map_err(store(&key))?;
            // One that is damaged lets its owner in no more, and locks out no other.
            match serde_json::from_slice(&bytes) {
                Ok(token) => tokens.push(token),
                Err(error) => {
                    tracing::error!(key, %error, "this is no token; accepted is what `nilometer token new` writes: remove the object")
                }
            }
        }
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tokens)
    }

    /// Takes one back.
    ///
    /// # Errors
    /// [`AccessError::Absent`] where there is none of that name.
    pub async fn revoke(&self, name: &str) -> Result<(), AccessError> {
        let key = key(name)?;
        let store = |source| AccessError::Store { key: key.to_string(), source };
        match self.store.head(&key).await {
            Err(object_store::Error::NotFound { .. }) => return Err(AccessError::Absent { name: name.to_owned() }),
            found => drop(found.map_err(store)?),
        }
        self.store.delete(&key).await.map_err(store)
    }
}

fn key(name: &str) -> Result<Path, AccessError> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fits {
        Ok(Path::from(format!("{ACCESS}/{name}.json")))
    } else {
        Err(AccessError::Name { name: name.to_owned() })
    }
}

fn digest(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who asks, as far as is known.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// name of the token
    pub(crate) name: String,
}

/// Who may do what.
#[derive(Clone)]
pub struct Access {
    tokens: Tokens,
    /// whether reading needs no token
    reading_is_open: bool,
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Clone)]
struct Known {
    at: Instant,
    by_sha256: Arc<HashMap<String, Token>>,
}

impl Access {
    /// Of a site that is reached at `listening`: reading needs a token unless that is this machine alone, or the definition opens it.
    #[must_use]
    pub fn of_site(site: &Site, listening: IpAddr) -> Self {
        let reading_is_open = listening.is_loopback() || site.pipeline().serve.open;
        Self::new(Tokens::of_store(site.store().clone()), reading_is_open)
    }

    /// Whether reading needs no token.
    #[must_use]
    pub const fn reading_is_open(&self) -> bool {
        self.reading_is_open
    }

    /// Lets through who may read with this token, where a protocol has no headers.
    ///
    /// # Errors
    /// [`Problem`] says why not.
    pub async fn reader(&self, token: Option<&str>) -> Result<(), Problem> {
        self.admit_token(token, Scope::Read).await.map(drop)
    }

    pub(crate) fn new(tokens: Tokens, reading_is_open: bool) -> Self {
        Self { tokens, reading_is_open, known: Arc::default() }
    }

    /// Tokens by digest, as the store had them at most five seconds ago.
    async fn known(&self) -> Result<Arc<HashMap<String, Token>>, Problem> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.at.elapsed() < HOLDS) {
            return Ok(known.by_sha256);
        }
        let at = Instant::now();
        let tokens = self.tokens.list().await.map_err(|error| Problem::internal(&error))?;
        let by_sha256 =
            Arc::new(tokens.into_iter().map(|token| (token.sha256.clone(), token)).collect::<HashMap<_, _>>());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known { at, by_sha256: by_sha256.clone() });
        Ok(by_sha256)
    }

    async fn admit(&self, authorization: Option<&HeaderValue>, needed: Scope) -> Result<Option<Principal>, Problem> {
        let given = authorization.and_then(|value| value.to_str().ok());
        // What is no bearer's is no token that is known.
        let bearer = |given: &str| {
            let token = given.strip_prefix("Bearer ").or_else(|| given.strip_prefix("bearer "));
            token.unwrap_or_default().trim().to_owned()
        };
        self.admit_token(given.map(bearer).as_deref(), needed).await
    }

    async fn admit_token(&self, token: Option<&str>, needed: Scope) -> Result<Option<Principal>, Problem> {
        let Some(text) = token else {
            if needed == Scope::Read && self.reading_is_open {
                return Ok(None);
            }
            if self.known().await?.values().all(|token| token.scope < needed) {
                return Err(Problem::forbidden(format!(
                    "this needs a token of scope {needed}, and the store has none, so it is off; accepted is one from `nilometer token new --scope {needed}`"
                )));
            }
            return Err(Problem::unauthorized(format!(
                "this needs a token of scope {needed}; accepted is the header Authorization: Bearer <token>"
            )));
        };
        let refused = || {
            Problem::unauthorized(
                "the token is not known, or has expired; accepted is one that `nilometer token list` shows",
            )
        };
        let known = self.known().await?;
        let token = known.get(&digest(text)).filter(|token| token.expires > now()).ok_or_else(refused)?;
        if token.scope < needed {
            return Err(Problem::forbidden(format!(
                "the token {} has the scope {}; accepted is {needed}",
                token.name, token.scope
            )));
        }
        Ok(Some(Principal { name: token.name.clone() }))
    }
}

/// Who reads, of what does not end with its answer.
#[derive(Clone)]
pub(crate) struct Reading {
    access: Access,
    authorization: Option<HeaderValue>,
}

impl Reading {
    /// Whether who was let through may still read: its token may have been revoked, or have expired. A store that does not answer shuts no one out.
    pub(crate) async fn holds(&self) -> bool {
        let refused = |problem: Problem| problem.is_of_client();
        self.access.admit(self.authorization.as_ref(), Scope::Read).await.err().is_none_or(|problem| !refused(problem))
    }
}

/// Lets through who may read.
pub(crate) async fn readers(State(access): State<Access>, request: Request, next: Next) -> Response {
    let_through(&access, Scope::Read, request, next).await
}

/// Lets through who may act.
pub(crate) async fn operators(State(access): State<Access>, request: Request, next: Next) -> Response {
    let_through(&access, Scope::Operate, request, next).await
}

async fn let_through(access: &Access, needed: Scope, mut request: Request, next: Next) -> Response {
    match access.admit(request.headers().get(header::AUTHORIZATION), needed).await {
        Ok(principal) => {
            let authorization = request.headers().get(header::AUTHORIZATION).cloned();
            let reading = Reading { access: access.clone(), authorization };
            request.extensions_mut().insert(reading);
            if let Some(principal) = principal {
                request.extensions_mut().insert(principal);
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use object_store::memory::InMemory;

    use super::*;

    fn bearer(text: &str) -> HeaderValue {
        format!("Bearer {text}").parse().unwrap()
    }

    #[tokio::test]
    async fn a_token_allows_its_scope_until_it_ends_and_is_kept_as_its_digest() {
        let store = Arc::new(InMemory::new());
        let tokens = Tokens::of_store(store.clone());
        let later = now().plus_s(3_600);
        let fresh = || Access::new(tokens.clone(), true);
        let none = fresh().admit(None, Scope::Operate).await.unwrap_err();
        assert!(format!("{none:?}").contains("so it is off"), "{none:?}");
        let night = tokens.new_token("night", Scope::Operate, later).await.unwrap();
        let desk = tokens.new_token("desk", Scope::Read, later).await.unwrap();
        let past = tokens.new_token("past", Scope::Admin, now().plus_s(-1)).await.unwrap();
        let access = fresh();
        assert_eq!(access.admit(Some(&bearer(&night)), Scope::Operate).await.unwrap().unwrap().name, "night");
        assert!(access.admit(Some(&bearer(&night)), Scope::Read).await.is_ok());
        assert!(access.admit(Some(&bearer(&desk)), Scope::Operate).await.is_err());
        assert!(access.admit(Some(&bearer(&past)), Scope::Read).await.is_err());
        assert!(access.admit(Some(&bearer("nilometer_0")), Scope::Read).await.is_err());
        assert!(access.admit(None, Scope::Read).await.unwrap().is_none());
        assert!(Access::new(tokens.clone(), false).admit(None, Scope::Read).await.is_err());
        let kept = store.get(&Path::from("access/night.json")).await.unwrap().bytes().await.unwrap();
        assert!(!String::from_utf8_lossy(&kept).contains(&night) && night.len() == PREFIX.len() + 64);
        tokens.revoke("night").await.unwrap();
        assert!(fresh().admit(Some(&bearer(&night)), Scope::Read).await.is_err());
        assert!(matches!(tokens.revoke("night").await, Err(AccessError::Absent { .. })));
        assert!(matches!(tokens.new_token("desk", Scope::Read, later).await, Err(AccessError::Taken { .. })));
        assert!(matches!(tokens.new_token("../x", Scope::Read, later).await, Err(AccessError::Name { .. })));
    }
}
