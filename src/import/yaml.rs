//! Reads YAML 1.2 into a [`Node`]; the only file that knows the YAML library.
//!
//! Every scalar stays a text, so that the country `NO` is no boolean and `1.10` no number. Anchors,
//! aliases and merge keys (`<<`) are followed within bounds. Tags of other programs (`!include`) are
//! refused: what they stand for is not in the file.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::Event;
use saphyr_parser::Marker;
use saphyr_parser::Parser;
use saphyr_parser::ScalarStyle;
use saphyr_parser::Tag;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::import::tree::Node;
use crate::import::tree::Value;

/// The deepest nesting that is read; octoDNS needs seven.
const MAX_DEPTH: usize = 64;

/// The most values of a file, with those that aliases repeat.
const MAX_NODES: usize = 5_000_000;

/// Reads the documents of a file; `None` after a fault, which is reported.
pub(super) fn read(file: &Arc<str>, text: &str, report: &mut Report) -> Option<Vec<Node>> {
    let mut builder = Builder {
        file,
        documents: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        n_nodes: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let result = match event {
            Ok((event, span)) => builder.event(event, builder.place(span.start)),
            Err(error) => {
                let fault = format!("is no YAML: {}", error.info());
                Err((builder.place(*error.marker()), fault))
            }
        };
        if let Err((place, fault)) = result {
            report.error(place, fault);
            return None;
        }
    }
    Some(builder.documents)
}

/// A list or map that has not ended.
struct Open {
    place: Place,
    anchor: usize,
    value: Value,
    /// The key that waits for its value.
    key: Option<Node>,
    /// What merge keys bring in where the map has nothing of its own.
    merged: Vec<(String, Node)>,
}

type Fault = (Place, String);

struct Builder<'a> {
    file: &'a Arc<str>,
    documents: Vec<Node>,
    open: Vec<Open>,
    /// By the parser's numbers, with the values inside each.
    anchors: HashMap<usize, (Node, usize)>,
    n_nodes: usize,
}

impl Builder<'_> {
    fn place(&self, marker: Marker) -> Place {
        Place {
            file: Arc::clone(self.file),
            line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
            column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX),
        }
    }

    fn event(&mut self, event: Event<'_>, place: Place) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                check_tag(tag.as_deref(), &place)?;
                let is_null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = match is_null {
                    true => Value::Null,
                    false => Value::Text(text.into_owned()),
                };
                self.n_nodes += 1;
                self.complete(Node { place, value }, anchor, 1)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), &place)?;
                self.begin(place, anchor, Value::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), &place)?;
                self.begin(place, anchor, Value::Map(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut open) = self.open.pop() else {
                    return Ok(());
                };
                if let Value::Map(map) = &mut open.value {
                    for (name, value) in open.merged {
                        if !map.iter().any(|(known, _)| *known == name) {
                            map.push((name, value));
                        }
                    }
                }
                let node = Node {
                    place: open.place,
                    value: open.value,
                };
                let n_inside = if open.anchor == 0 { 1 } else { count(&node) };
                self.complete(node, open.anchor, n_inside)
            }
            Event::Alias(anchor) => {
                let Some((node, n_inside)) = self.anchors.get(&anchor) else {
                    return Err((place, "an alias of what has not ended yet".into()));
                };
                self.n_nodes += n_inside;
                if self.n_nodes > MAX_NODES {
                    return Err((place, format!("aliases make more than {MAX_NODES} values")));
                }
                let node = node.clone();
                self.complete(node, 0, 1)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, place: Place, anchor: usize, value: Value) -> Result<(), Fault> {
        if self.open.len() == MAX_DEPTH {
            return Err((place, format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        self.n_nodes += 1;
        self.open.push(Open {
            place,
            anchor,
            value,
            key: None,
            merged: Vec::new(),
        });
        Ok(())
    }

    /// Puts a value where it belongs.
    fn complete(&mut self, node: Node, anchor: usize, n_inside: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), n_inside));
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match (&mut open.value, open.key.take()) {
            (Value::List(list), _) => list.push(node),
            (Value::Map(_), None) => open.key = Some(node),
            (Value::Map(map), Some(key)) => match key.value {
                Value::Text(name) if name == "<<" => open.merged.extend(merged(&node).cloned()),
                Value::Text(name) if map.iter().any(|(known, _)| *known == name) => {
                    return Err((key.place, format!("the key `{name}` stands here again")));
                }
                Value::Text(name) => map.push((name, node)),
                _ => return Err((key.place, "a key that is no text".into())),
            },
            (Value::Null | Value::Text(_), _) => {}
        }
        Ok(())
    }
}

/// The entries that a merge key (`<<`) stands for: those of a map, or of a list of maps.
fn merged(value: &Node) -> impl Iterator<Item = &(String, Node)> {
    value.items().iter().filter_map(Node::as_map).flatten()
}

/// Refuses what only another program can resolve; the tags of YAML itself change nothing for a text.
fn check_tag(tag: Option<&Tag>, place: &Place) -> Result<(), Fault> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => {
            let Tag { handle, suffix } = tag;
            let fault = format!(
                "has the tag `{handle}{suffix}`, expected plain YAML: put in what it stands for"
            );
            Err((place.clone(), fault))
        }
        _ => Ok(()),
    }
}

/// The values in a value, with itself.
fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Text(_) => 0,
        Value::List(list) => list.iter().map(count).sum(),
        Value::Map(map) => map.iter().map(|(_, value)| count(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> Result<String, String> {
        let mut report = Report::default();
        match read(&"f".into(), text, &mut report) {
            Some(documents) => Ok(documents.iter().map(Node::in_line).collect()),
            None => Err(report.to_string()),
        }
    }

    #[test]
    fn texts_lists_and_maps_are_read() {
        for (row, text, expected) in [
            (
                "scalars",
                "a: 1.10\nb: NO\nc: ''\nd:\n",
                "{a: 1.10, b: NO, c: , d: null}",
            ),
            ("flow", "a: [1, {b: c}]\n", "{a: [1, {b: c}]}"),
            ("empty key", "'':\n  a: 1\n", "{: {a: 1}}"),
            ("alias", "a: &x [1]\nb: *x\n", "{a: [1], b: [1]}"),
            (
                "merge, what is written counts",
                "a: &x {t: 1, u: 2}\nb:\n  t: 3\n  <<: *x\n",
                "{a: {t: 1, u: 2}, b: {t: 3, u: 2}}",
            ),
            ("block", "a: |\n  x\n  y\n", "{a: x\ny\n}"),
            ("a tag of YAML", "a: !!str 1\n", "{a: 1}"),
            ("two documents", "---\na: 1\n---\nb: 2\n", "{a: 1}{b: 2}"),
        ] {
            assert_eq!(read_one(text), Ok(expected.to_owned()), "{row}");
        }
    }

    #[test]
    fn faults_have_their_place() {
        let deep = "[".repeat(100);
        let bomb = format!(
            "a: &a [{}]\n{}",
            "x,".repeat(99),
            ["b", "c", "d", "e"]
                .iter()
                .zip(["a", "b", "c", "d"])
                .map(|(to, from)| format!("{to}: &{to} [{}]\n", format!("*{from},").repeat(99)))
                .collect::<String>()
        );
        for (row, text, expected) in [
            (
                "twice",
                "a: 1\nb: 2\na: 3\n",
                "f:3:1: the key `a` stands here again",
            ),
            (
                "tag",
                "a: !include b.yaml\n",
                "f:1:4: has the tag `!include`",
            ),
            ("syntax", "a: [1\nb: 2\n", "f:2:"),
            (
                "a list as key",
                "? [a]\n: b\n",
                "f:1:3: a key that is no text",
            ),
            ("depth", &*deep, "f:1:65: is nested deeper"),
            ("billion laughs", &*bomb, "values"),
        ] {
            let fault = read_one(text).expect_err(row);
            assert!(fault.contains(expected), "{row}: {fault}");
        }
    }
}
