//! Whether an Avro schema may be trusted with our memory and our stack.
//!
//! The library decodes an object as a whole, into values that are larger than their bytes, and follows the schema wherever it
//! leads. So a schema is refused that contains itself (each byte would be a level of the stack), that has list items of no bytes
//! (a list of a billion in three bytes), or whose values take far more memory than they have bytes. LivePerson's schemas
//! are none of that; a schema is at most as deep as serde_json reads JSON, 128 levels.

use apache_avro::schema::{InnerDecimalSchema, Schema, UuidSchema};
use std::collections::HashMap;

/// Bytes of memory that a value may take for each of its bytes.
const MAX_GROWTH: u64 = 512;

/// About what the library's value type takes, with the name of the field that it stands in not counted.
const VALUE_BYTES: u64 = 96;

/// What one value of a schema comes to.
#[derive(Clone, Copy)]
struct Cost {
    /// Bytes in the file, at least.
    least_bytes: u64,
    /// Bytes in memory, without the elements of its lists.
    memory_bytes: u64,
}

/// Why objects of this schema are not read; `None` if they may be. No value may be larger than `max_value_bytes`.
pub(super) fn objection(schema: &Schema, max_value_bytes: usize) -> Option<&'static str> {
    let mut walk = Walk { named: HashMap::new(), max_value_bytes: max_value_bytes as u64 };
    walk.element(schema).err()
}

struct Walk {
    /// Types by the last part of their name; `None` while one is being walked. Of two with the same name, the dearer.
    named: HashMap<String, Option<Cost>>,
    max_value_bytes: u64,
}

impl Walk {
    /// An object, or the element of a list: there may be as many as there are bytes.
    fn element(&mut self, schema: &Schema) -> Result<(), &'static str> {
        let cost = self.cost(schema)?;
        if cost.least_bytes == 0 {
            return Err("its schema allows elements of no bytes");
        }
        if cost.memory_bytes / cost.least_bytes > MAX_GROWTH {
            return Err("its schema makes values that are far larger in memory than in the file");
        }
        Ok(())
    }

    fn cost(&mut self, schema: &Schema) -> Result<Cost, &'static str> {
        let plain = |least_bytes| Ok(Cost { least_bytes, memory_bytes: VALUE_BYTES });
        match schema {
            Schema::Null => plain(0),
            Schema::Float => plain(4),
            Schema::Double => plain(8),
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Decimal(apache_avro::schema::DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. })
            | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                let size = fixed.size as u64;
                if size > self.max_value_bytes {
                    return Err("its schema has a field of a fixed size beyond max_record_bytes");
                }
                self.define(fixed.name.name(), Cost { least_bytes: size, memory_bytes: VALUE_BYTES + size })
            }
            Schema::Enum(choice) => {
                let longest = choice.symbols.iter().map(String::len).max().unwrap_or_default() as u64;
                self.define(choice.name.name(), Cost { least_bytes: 1, memory_bytes: VALUE_BYTES + longest })
            }
            Schema::Array(list) => self.element(&list.items).and_then(|()| plain(1)),
            // An entry has a key, so it is never empty.
            Schema::Map(map) => {
                let entry = self.cost(&map.types)?;
                if entry.memory_bytes / (entry.least_bytes + 1) > MAX_GROWTH {
                    return Err("its schema makes values that are far larger in memory than in the file");
                }
                plain(1)
            }
            Schema::Union(union) => {
                let mut memory_bytes = 0;
                for variant in union.variants() {
                    memory_bytes = self.cost(variant)?.memory_bytes.max(memory_bytes);
                }
                Ok(Cost { least_bytes: 1, memory_bytes: memory_bytes.saturating_add(VALUE_BYTES) })
            }
            Schema::Record(record) => {
                let name = record.name.name().to_owned();
                self.named.insert(name.clone(), None);
                let mut whole = Cost { least_bytes: 0, memory_bytes: VALUE_BYTES };
                for field in &record.fields {
                    let cost = self.cost(&field.schema)?;
                    whole.least_bytes = whole.least_bytes.saturating_add(cost.least_bytes);
                    let in_memory = cost.memory_bytes.saturating_add(field.name.len() as u64);
                    whole.memory_bytes = whole.memory_bytes.saturating_add(in_memory);
                }
                self.named.remove(&name);
                self.define(&name, whole)
            }
            Schema::Ref { name } => match self.named.get(name.name()) {
                Some(Some(cost)) => Ok(*cost),
                _ => Err("its schema contains itself"),
            },
            _ => plain(1),
        }
    }

    fn define(&mut self, name: &str, cost: Cost) -> Result<Cost, &'static str> {
        let known = self.named.entry(name.to_owned()).or_insert(Some(cost));
        if let Some(known) = known {
            known.least_bytes = known.least_bytes.min(cost.least_bytes);
            known.memory_bytes = known.memory_bytes.max(cost.memory_bytes);
        }
        Ok(cost)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(schema: &str) -> Option<&'static str> {
        objection(&Schema::parse_str(schema).unwrap(), 1 << 20)
    }

    #[test]
    fn an_ordinary_schema_passes() {
        assert_eq!(
            check(
                r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","string"]},{"name":"b","type":
                {"type":"array","items":{"type":"record","name":"L","fields":[{"name":"t","type":["null","string"]},
                {"name":"l","type":"long"}]}}},{"name":"c","type":["null","L"]},{"name":"n","type":"null"}]}"#
            ),
            None
        );
    }

    #[test]
    fn schemas_that_run_away_are_refused() {
        for (schema, why) in [
            (r#"{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}"#, "contains itself"),
            (r#"{"type":"array","items":"null"}"#, "no bytes"),
            (r#""null""#, "no bytes"),
            (r#"{"type":"record","name":"R","fields":[]}"#, "no bytes"),
            (r#"{"type":"fixed","name":"F","size":1000000000000}"#, "fixed size"),
        ] {
            assert!(check(schema).is_some_and(|told| told.contains(why)), "{schema}: {:?}", check(schema));
        }
        // Ten fields of ten fields of ten fields …: a kilobyte of schema, ten thousand million values of no bytes.
        let mut schema = r#"{"type":"record","name":"T0","fields":[{"name":"a","type":"null"}]}"#.to_owned();
        for level in 1..10 {
            let fields: Vec<String> = (0..10)
                .map(|at| {
                    format!(
                        r#"{{"name":"f{at}","type":{}}}"#,
                        if at == 0 { schema.clone() } else { format!("\"T{}\"", level - 1) }
                    )
                })
                .collect();
            schema = format!(r#"{{"type":"record","name":"T{level}","fields":[{}]}}"#, fields.join(","));
        }
        let with_a_byte = format!(
            r#"{{"type":"record","name":"All","fields":[{{"name":"x","type":"boolean"}},{{"name":"y","type":{schema}}}]}}"#
        );
        assert!(check(&with_a_byte).is_some_and(|told| told.contains("larger in memory")));
    }
}
