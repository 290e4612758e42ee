//! `#[needs(cance, kafka)]` above `#[test]`: where one of them is absent the test is ignored, with the reason and what to do, so that a test
//! that cannot run is named and counted as ignored instead of passed.
//!
//! `build.rs` looks what is here when the tests are built, and lists what can be named.
//!
//! ```text
//! #[needs(onnxruntime)]
//! #[test]
//! fn a_model_runs() {}
//! ```

use proc_macro::{TokenStream, TokenTree};

/// What tests may need, each with why tests on it cannot run here, if so.
type Things<'a> = &'a [(&'a str, Option<&'a str>)];

const THINGS: Things = include!(concat!(env!("OUT_DIR"), "/things.rs"));

/// Ignores a test where something that it needs is absent.
#[proc_macro_attribute]
pub fn needs(names: TokenStream, item: TokenStream) -> TokenStream {
    let added = match ignored(&names.to_string(), THINGS) {
        // Below `#[test]` the attribute would come too late, and do nothing.
        Ok(_) if !is_test(&item) => "compile_error!(\"#[needs] stands above #[test]\");".to_owned(),
        Ok(None) => String::new(),
        Ok(Some(reason)) => format!("#[ignore = {reason:?}]"),
        Err(problem) => format!("compile_error!({problem:?});"),
    };
    let added: TokenStream = added.parse().expect("it is nothing, an attribute or a macro's call");
    added.into_iter().chain(item).collect()
}

/// Why a test that needs these things, separated by commas, is ignored, if it is.
fn ignored(names: &str, things: Things) -> Result<Option<String>, String> {
    let mut reasons = Vec::new();
    for name in names.split(',').map(str::trim) {
        let thing = things.iter().find(|(known, _)| *known == name);
        let (_, reason) = thing.ok_or_else(|| {
            let accepted: Vec<&str> = things.iter().map(|(known, _)| *known).collect();
            format!("`{name}` is nothing that a test can need; accepted are {}", accepted.join(", "))
        })?;
        reasons.extend(*reason);
    }
    // ops/test splits here.
    Ok((!reasons.is_empty()).then(|| reasons.join(" | ")))
}

/// Whether an attribute that is still on the item is `#[test]` or one that becomes it.
fn is_test(item: &TokenStream) -> bool {
    item.clone().into_iter().any(|token| match token {
        TokenTree::Group(attribute) => attribute.stream().into_iter().any(|token| token.to_string() == "test"),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::ignored;

    const THINGS: super::Things = &[("rain", None), ("snow", Some("no snow; wait")), ("ice", Some("no ice; wait"))];

    #[test]
    fn a_test_is_ignored_for_all_that_it_lacks() {
        assert_eq!(ignored("rain", THINGS), Ok(None));
        assert_eq!(ignored("rain, snow", THINGS), Ok(Some("no snow; wait".to_owned())));
        assert_eq!(ignored("snow, rain, ice", THINGS), Ok(Some("no snow; wait | no ice; wait".to_owned())));
    }

    #[test]
    fn a_name_that_is_unknown_is_refused_with_those_that_are_known() {
        let problem = ignored("rain, hail", THINGS).unwrap_err();
        assert!(problem.contains("`hail`") && problem.contains("rain, snow, ice"), "{problem}");
    }
}
