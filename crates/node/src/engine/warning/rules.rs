//! The rules, which an operator has approved, version by version.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_audit::Body;
use tally_crypto::sign::Signature;
use tally_crypto::transcript::Digest;
use tally_protocol::warning::{Rules, Source};

use super::super::{Engine, now};
use crate::failure::{self, Failure};

/// Label under which operators sign the digest of rules that they approve.
pub(crate) const RULES_LABEL: &str = "warning-rules";

/// Rules and who approved them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    digest: Digest,
    version: u32,
    operator: String,
    signature: Signature,
    time: i64,
}

/// Reads the text of a file of rules.
pub(super) fn parse(text: &str) -> Result<Rules, Failure> {
    let rules: Rules = toml::from_str(text).map_err(|error| failure::data(format!("warning rules: {error}")))?;
    rules.check().map_err(failure::data)?;
    Ok(rules)
}

impl Engine {
    /// An operator approves rules, which take the place of those of a lower version.
    pub(super) fn approve_rules(
        &mut self,
        text: &str,
        operator: &str,
        signature: &Signature,
    ) -> Result<Value, Failure> {
        if !self.is_platform() {
            return Err(failure::usage("rules are approved at the platform, which watches"));
        }
        let (rules, digest) = (parse(text)?, Rules::digest_of(text));
        self.check_rules(&rules)?;
        if !self.store.operator(operator)?.key.verify(RULES_LABEL, digest.as_bytes(), signature) {
            return Err(failure::refused(format!("the approval is not signed by operator `{operator}`")));
        }
        let newest = self.store.newest_warning_rules::<Approval>()?;
        if newest.as_ref().is_some_and(|newest| newest.digest == digest) {
            return Err(failure::refused(format!("version {} of the rules is approved already", rules.version)));
        }
        if let Some(newest) = newest.filter(|newest| newest.version >= rules.version) {
            return Err(failure::refused(format!(
                "version {} of the rules is approved: give changed rules a higher version than that",
                newest.version
            )));
        }
        let approval =
            Approval { digest, version: rules.version, operator: operator.into(), signature: *signature, time: now() };
        let of_fields = rules.rules.iter().filter_map(|rule| Some((rule.id.clone(), rule.field()?.to_owned())));
        let body = Body::WarningRules { version: rules.version, rules: digest, fields: of_fields.collect() };
        self.step(|engine, step| {
            step.record(None, operator, body);
            engine.store.put_warning_rules(rules.version, &approval)
        })?;
        let names: Vec<_> = rules.rules.iter().map(|rule| &rule.id).collect();
        Ok(json!({ "version": rules.version, "digest": digest, "operator": operator, "rules": names }))
    }

    /// Rules look at fields of the sharing list, at numbers as numbers and at categories as categories.
    fn check_rules(&self, rules: &Rules) -> Result<(), Failure> {
        let list = self.sharing_list()?;
        for rule in &rules.rules {
            let Source::Field(name) = &rule.of else { continue };
            let wrong = |what: String| Err(failure::data(format!("warning rule `{}`: {what}", rule.id)));
            let Some(field) = list.field(name) else {
                return wrong(format!("field `{name}` is not on the sharing list: see `tallystick list show`"));
            };
            let values = field.kind.values();
            if rule.when.of_numbers() != values.is_empty() {
                return wrong(format!(
                    "field `{name}` is {}",
                    if values.is_empty() { "a number" } else { "a category" }
                ));
            }
            if let Some(strange) = rule.when.values().iter().find(|value| !values.contains(value)) {
                return wrong(format!("field `{name}` has no value `{strange}`: expected {}", values.join(", ")));
            }
        }
        Ok(())
    }

    /// The rules that the configuration names, which an operator must have approved as they stand in their file.
    pub(super) fn approved_rules(&self) -> Result<Rules, Failure> {
        if !self.is_platform() {
            return Err(failure::usage("the platform watches: a bank has an inbox, see `tallystick warning list`"));
        }
        let text = self.rules_text()?;
        let rules = parse(&text)?;
        let newest = self.store.newest_warning_rules::<Approval>()?;
        if newest.is_some_and(|newest| newest.digest == Rules::digest_of(&text)) {
            return Ok(rules);
        }
        Err(failure::refused(format!(
            "version {} of the warning rules is not approved as it stands in its file: `tallystick warning approve \
             --operator NAME`",
            rules.version
        )))
    }

    pub(super) fn show_rules(&self) -> Result<Value, Failure> {
        let text = self.rules_text()?;
        let (rules, digest) = (parse(&text)?, Rules::digest_of(&text));
        let newest = self.store.newest_warning_rules::<Approval>()?;
        let approval = newest.filter(|newest| newest.digest == digest);
        Ok(json!({
            "digest": digest,
            "text": text,
            "rules": rules,
            "approved": approval.map(|one| json!({ "operator": one.operator, "time": one.time })),
        }))
    }

    fn rules_text(&self) -> Result<String, Failure> {
        let named = self.config.warning.rules.as_ref();
        let path = named.ok_or_else(|| {
            failure::misconfigured(
                "there are no rules of early warning: name their file as `rules` under [warning] in node.toml",
            )
        })?;
        let path = self.directory.resolve(path);
        std::fs::read_to_string(&path).map_err(|error| failure::misconfigured(format!("{}: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_are_read() {
        let text = include_str!("../../../../../models/templates/warnings.toml");
        let rules = parse(text).unwrap();
        assert_eq!(rules.rules.len(), 10);
        assert_eq!(rules.fields().len(), 7);
        for (from, to) in [
            ("version = 1", "versoin = 1"),
            ("severity = \"info\"", "severity = \"mild\""),
            ("rises_by = 1.0", "rises = 1.0"),
        ] {
            assert!(parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
