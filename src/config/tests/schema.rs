//! The schema and the reader accept the same keys, with the same defaults. `tests/it/schema.rs` tries the schema on values.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the schema is JSON")
}

fn resolved<'s>(schema: &'s Value, node: &'s Value) -> &'s Value {
    match node["$ref"].as_str() {
        Some(pointer) => resolved(schema, schema.pointer(pointer.trim_start_matches('#')).expect("it leads somewhere")),
        None => node,
    }
}

/// Puts down the keys of every table below a node, and writes TOML that holds each such table with a key `zz` in it.
fn probe(schema: &Value, node: &Value, path: &str, tables: &mut BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let node = resolved(schema, node);
    if let Some(choices) = node["anyOf"].as_array() {
        return choices.iter().find_map(|choice| probe(schema, choice, path, tables));
    }
    if node["items"].is_object() {
        return probe(schema, &node["items"], &format!("{path}[0]"), tables).map(|item| format!("[{item}]"));
    }
    if node["additionalProperties"].is_object() {
        return probe(schema, &node["additionalProperties"], &format!("{path}.x"), tables)
            .map(|table| format!("{{ x = {table} }}"));
    }
    let properties = node["properties"].as_object()?;
    assert_eq!(node["additionalProperties"], false, "{path} refuses other keys, as the reader does");
    tables.insert(path.to_owned(), properties.keys().cloned().collect());
    let dot = if path.is_empty() { "" } else { "." };
    let within = properties.iter().filter_map(|(key, property)| {
        probe(schema, property, &format!("{path}{dot}{key}"), tables).map(|text| format!("{key} = {text}"))
    });
    let entries: Vec<String> = std::iter::once("zz = 1".to_owned()).chain(within).collect();
    Some(if path.is_empty() { entries.join("\n") } else { format!("{{ {} }}", entries.join(", ")) })
}

/// What the reader says that it accepts, by the table that it says it of: it is asked with a key that nothing has.
fn accepted(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let loaded = main_file(text).load();
    let lists = loaded.findings.iter().filter(|finding| finding.message.contains("unknown key `zz`"));
    let table = |finding: &Finding| {
        let path = finding.message.split_once(": unknown key").map_or("", |(path, _)| path).to_owned();
        let list = finding.help.as_deref().and_then(|help| help.strip_prefix("accepted here: ")).unwrap();
        (path, list.split(", ").map(str::to_owned).collect())
    };
    lists.map(table).collect()
}

#[test]
fn the_schema_has_every_key_of_the_reader_and_no_other() {
    let schema = schema();
    let mut of_schema = BTreeMap::new();
    let text = probe(&schema, &schema, "", &mut of_schema).unwrap();
    let of_reader = accepted(&text);
    assert!(of_reader.len() > 20 && of_reader.contains_key("jobs.x.container[0]"), "{:?}", of_reader.keys());
    for (path, keys) in &of_schema {
        let known = of_reader.get(path).unwrap_or_else(|| panic!("the reader has no table `{path}`:\n{text}"));
        let strange: Vec<&String> = keys.difference(known).collect();
        assert_eq!(strange, [""; 0], "keys of `{path}` that only the schema has");
        assert_eq!(known.difference(keys).collect::<Vec<_>>(), [""; 0], "keys of `{path}` that the schema lacks");
    }
    assert_eq!(of_reader.keys().filter(|path| !of_schema.contains_key(*path)).collect::<Vec<_>>(), [""; 0]);
}

/// All property names at and below a node.
fn names(schema: &Value, node: &Value, found: &mut BTreeSet<String>) {
    let node = resolved(schema, node);
    for (key, property) in node["properties"].as_object().into_iter().flatten() {
        found.insert(key.clone());
        names(schema, property, found);
    }
    node["anyOf"].as_array().into_iter().flatten().for_each(|choice| names(schema, choice, found));
    let within = [&node["items"], &node["additionalProperties"]].into_iter().filter(|within| within.is_object());
    within.for_each(|within| names(schema, within, found));
}

#[test]
fn every_key_of_the_shipped_file_is_in_the_schema_also_behind_a_comment_sign() {
    let schema = schema();
    let (mut table, mut keys) = (String::new(), 0);
    for line in include_str!("../../../config/tenacron.toml").lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = header.trim_matches('[').split('.').next().unwrap().to_owned();
        }
        let Some((key, _)) = line.split_once(" = ") else { continue };
        if !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            continue;
        }
        let mut known = BTreeSet::new();
        let node = if table.is_empty() { &schema } else { &schema["properties"][&table] };
        names(&schema, node, &mut known);
        assert!(known.contains(key), "[{table}] {key}");
        keys += 1;
    }
    assert!(keys > 40, "{keys}");
}

#[test]
fn every_property_is_described() {
    fn is_described(schema: &Value, node: &Value) -> bool {
        let referred = node["$ref"].as_str().and_then(|pointer| schema.pointer(pointer.trim_start_matches('#')));
        node["description"].is_string() || referred.is_some_and(|node| is_described(schema, node))
    }
    fn check(schema: &Value, node: &Value, path: &str) {
        let inner = resolved(schema, node);
        for (key, property) in inner["properties"].as_object().into_iter().flatten() {
            assert!(is_described(schema, property), "{path}.{key}");
            check(schema, property, &format!("{path}.{key}"));
        }
        let within = [&inner["items"], &inner["additionalProperties"]].into_iter().filter(|within| within.is_object());
        within.for_each(|within| check(schema, within, path));
    }
    let schema = schema();
    check(&schema, &schema, "");
}

/// A JSON value as TOML.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(none) if none.is_empty() => "{}".to_owned(),
        other => other.to_string(),
    }
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_reader() {
    let schema = schema();
    let mut compared = 0;
    for (key, property) in schema["$defs"]["defaults"]["properties"].as_object().unwrap() {
        let Some(default) = property.get("default") else { continue };
        let said = |keys: &str| {
            let config = clean(&job_with(keys));
            format!("{:?}", config.jobs.values().next().unwrap())
        };
        assert_eq!(said(""), said(&format!("{key} = {}", toml(default))), "{key}");
        compared += 1;
    }
    for (key, property) in schema["properties"]["ecs"]["properties"].as_object().unwrap() {
        let Some(default) = property.get("default") else { continue };
        let settings = clean(&format!("ecs.{key} = {}\n{}", toml(default), job_with(""))).ecs;
        assert_eq!(settings, EcsSettings::default(), "{key}");
        compared += 1;
    }
    let age = &schema["properties"]["retention"]["properties"]["max_age"]["default"];
    let set = clean(&format!("retention.max_age = {}\n{}", toml(age), job_with("")));
    assert_eq!((set.retention, clean(&job_with("")).retention), (Retention::default(), Retention::default()));
    compared += 1;
    let retrier = schema["$defs"]["defaults"]["properties"]["retry"]["items"]["properties"].as_object().unwrap();
    let policy = |more: &str| {
        let config = clean(&job_with(&format!("retry = [{{ error_equals = ['x']{more} }}]")));
        config.jobs.values().next().unwrap().definition.retry.clone()
    };
    for (key, default) in retrier.iter().filter_map(|(key, property)| Some((key, property.get("default")?))) {
        assert_eq!(policy(""), policy(&format!(", {key} = {}", toml(default))), "{key}");
        compared += 1;
    }
    let of = |pointer: &str| schema.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(of("/properties/state/properties/url/default"), format!("sqlite://{DEFAULT_STATE}"));
    assert_eq!(of("/properties/control/properties/socket/default"), DEFAULT_CONTROL_SOCKET);
    assert_eq!(compared, 18 + 4 + 1 + 4);
}
