//! The JSON lines against `assets/events.schema.json`, by a validator of just the words that the schema uses.

use serde_json::{Map, Value, json};

use super::tests::{Page, style};
use super::*;
use crate::control::{FailureKind, Phase};
use crate::deploy::{Event, StateName};
use crate::journal::{script, script_errands};

const SCHEMA: &str = include_str!("../../assets/events.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// Why `value` does not fit, if it does not. Unlike for a reader, a field that the schema does not name is a fault.
fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let mut rules: Map<String, Value> = schema.as_object().unwrap().clone();
    for word in ["$schema", "$id", "$defs", "title", "description"] {
        rules.remove(word);
    }
    let properties = rules.get("properties").cloned();
    for (word, rule) in rules {
        let fits = match word.as_str() {
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                check(root, &root["$defs"][name], value)?;
                true
            }
            "oneOf" => {
                let fitting = rule.as_array().unwrap().iter().filter(|one| check(root, one, value).is_ok());
                fitting.count() == 1
            }
            "const" => *value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_a(value, name.as_str().unwrap())),
                name => is_a(value, name.as_str().unwrap()),
            },
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "pattern" => is_moment(value.as_str().unwrap()),
            "required" => {
                let object = value.as_object().ok_or("no object")?;
                rule.as_array().unwrap().iter().all(|name| object.contains_key(name.as_str().unwrap()))
            }
            "properties" => {
                let object = value.as_object().ok_or("no object")?;
                let known = properties.as_ref().unwrap();
                for (name, field) in object {
                    let rule = known.get(name).ok_or(format!("{name} is not in the schema"))?;
                    check(root, rule, field)?;
                }
                true
            }
            "items" => {
                value.as_array().ok_or("no array")?.iter().try_for_each(|item| check(root, &rule, item))?;
                true
            }
            other => panic!("the validator does not know {other:?}"),
        };
        if !fits {
            return Err(format!("{value} breaks {word}"));
        }
    }
    Ok(())
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        other => panic!("the validator does not know the type {other:?}"),
    }
}

/// The one pattern of the schema: `2026-11-23T15:01:46.123Z`.
fn is_moment(text: &str) -> bool {
    let shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

fn lines(events: &[Event]) -> Vec<Value> {
    let page = Page::default();
    let mut face = Json::new(page.clone(), std::io::sink(), style(), true);
    events.iter().for_each(|event| face.event(event));
    page.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_line_is_as_the_schema_says() {
    let schema = schema();
    let mut seen = std::collections::BTreeSet::new();
    let runs = [
        script::success(),
        script::some_failed(),
        script::stopped(),
        script::held(),
        script::demo(),
        script::rolled_back(),
        script::shut(),
    ];
    let errands = [script_errands::check(), script_errands::releases(), script_errands::clean()];
    let plan = PlanLine {
        tag: "v1".into(),
        payload: "./dist".into(),
        bytes: 1,
        paths: 2,
        left_out: vec![".git".into()],
        inventory: "hosts.yaml".into(),
        hosts: vec!["web01".into()],
        dests: vec!["/srv/app".into()],
        link: "current".into(),
        activate: true,
        least_seconds: None,
        warnings: vec!["doubtful".into()],
    };
    let plan = serde_json::from_str(&plan.json(0)).unwrap();
    for line in runs.iter().chain(&errands).flat_map(|events| lines(events)).chain([plan]) {
        if let Err(fault) = check(&schema, &schema, &line) {
            let name = line["type"].as_str().unwrap();
            panic!("{line}: {fault}: {:?}", check(&schema, &schema["$defs"][name], &line));
        }
        seen.insert(line["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), schema["oneOf"].as_array().unwrap().len(), "types seen: {seen:?}");
}

#[test]
fn the_validator_finds_faults() {
    let schema = schema();
    let good = json!({"v": 1, "ts": "2026-11-23T15:01:46.123Z", "type": "activated", "host": "web01"});
    assert_eq!(check(&schema, &schema, &good), Ok(()));
    for (field, value) in [
        ("v", json!(2)),
        ("ts", json!("2026-11-23 15:01:46")),
        ("type", json!("sung")),
        ("host", json!(7)),
        ("song", json!("x")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(check(&schema, &schema, &bad).is_err(), "{bad}");
    }
    assert!(check(&schema, &schema, &json!({"v": 1})).is_err());
}

#[test]
fn the_schema_names_all_states_phases_and_kinds() {
    let schema = schema();
    let names = |list: &[&'static str]| json!(list);
    assert_eq!(
        schema["$defs"]["host_state"]["properties"]["state"]["enum"],
        names(&StateName::ALL.map(StateName::as_str))
    );
    assert_eq!(schema["$defs"]["phase"]["enum"], names(&Phase::ALL.map(Phase::as_str)));
    assert_eq!(schema["$defs"]["kind"]["enum"], names(&FailureKind::ALL.map(FailureKind::as_str)));
}
