//! The shapes of the bodies: maps per skill, agent and group, totals in both spellings, lists of states.
//!
//! One walk for all methods, because their containers have the same names. What has none of them is kept under its JSON
//! path. The walk goes down a bounded number of levels, whatever the input.

use super::{Dimensions, FigureValue, Section};
use crate::decode::avro_json::{Broken, Pull};
use crate::decode::fields::Fields;

/// Documented bodies are seven levels deep.
const MAX_DEPTH: u8 = 16;

/// What a walk comes upon.
pub(super) enum Found<'f> {
    Point {
        dimensions: &'f Dimensions,
        metric: &'f str,
        value: FigureValue<'f>,
    },
    /// A metric that says "no data".
    Absent,
    /// Something that was passed over.
    Odd(&'static str),
}

/// A walk through one framed part of a body.
pub(super) struct Walker<'w> {
    dimensions: Dimensions,
    depth: u8,
    take: &'w mut dyn FnMut(Found<'_>),
}

type Read = Result<(), Broken>;

impl<'w> Walker<'w> {
    pub(super) fn new(take: &'w mut dyn FnMut(Found<'_>)) -> Walker<'w> {
        Walker { dimensions: Dimensions::default(), depth: 0, take }
    }

    /// A field of the body.
    pub(super) fn entry(&mut self, key: &str, json: &[u8]) -> Read {
        self.field("", key, json)
    }

    /// An interval: its figures stand in it, or under `metricsData`.
    pub(super) fn interval(&mut self, json: &[u8]) -> Read {
        for (key, json) in entries(json)? {
            if key != "timestamp" {
                self.field("", &key, json)?;
            }
        }
        Ok(())
    }

    /// `{ "skillId": …, "estimatedWaitTime": …, "timestamp": … }`
    pub(super) fn wait_time(&mut self, json: &[u8]) -> Read {
        self.dimensions.skill = Fields::of(json)?.any_text(&["skillId"])?;
        for (key, json) in entries(json)? {
            if key != "skillId" && key != "timestamp" {
                self.field("", &key, json)?;
            }
        }
        Ok(())
    }

    /// An agent of `agent-view/status`. Its state is whom the figures are about: the load of an agent who is away.
    pub(super) fn agent_record(&mut self, json: &[u8]) -> Read {
        let mut fields = Fields::of(json)?;
        self.dimensions = Dimensions {
            agent: fields.any_text(&["agentId"])?,
            // -1 is a group's id here, the main one's.
            group: fields.any_text(&["agentGroupId"])?,
            state: fields.text(&["currentStatus"])?.map(|state| state.to_ascii_lowercase().replace('_', "-")),
            reason: fields.id(&["currentStatusReason"])?,
            ..Dimensions::default()
        };
        if self.dimensions.agent.is_none() {
            (self.take)(Found::Odd("an agent's record without an agent"));
        }
        let all = entries(json)?;
        for (key, json) in &all {
            let is_told_twice = all.iter().any(|(other, _)| other.strip_suffix('L') == Some(key));
            match key.as_str() {
                "agentId" | "agentGroupId" | "currentStatus" | "currentStatusReason" => {}
                "agentSkills" => self.skills_of_agent(json)?,
                // A name of digits is a name.
                "agentName"
                | "agentNickname"
                | "agentLoginName"
                | "agentGroupName"
                | "agentPictureURL"
                | "agentPresence"
                | "currentConnectionState" => self.text("", key, json)?,
                _ if is_told_twice => {}
                _ => self.field("", key, json)?,
            }
        }
        Ok(())
    }

    fn skills_of_agent(&mut self, json: &[u8]) -> Read {
        for skill in items(json)? {
            let mut fields = Fields::of(skill)?;
            let name = fields.any_text(&["skillName"])?.unwrap_or_default();
            self.dimensions.skill = fields.any_text(&["skillId"])?;
            self.point("agentSkills", FigureValue::Text(&name));
        }
        self.dimensions.skill = None;
        Ok(())
    }

    /// A field anywhere below: containers give dimensions, what is no container is a metric.
    fn field(&mut self, path: &str, key: &str, json: &[u8]) -> Read {
        match json.first() {
            Some(b'{') => self.deeper(|walker| walker.container(path, key, json)),
            Some(b'[') => self.deeper(|walker| {
                for (at, item) in items(json)?.into_iter().enumerate() {
                    walker.field(path, &format!("{key}[{at}]"), item)?;
                }
                Ok(())
            }),
            Some(b'"') => self.text(path, key, json),
            Some(b'n') => Pull::new(json).json().map(drop),
            None => Ok(()),
            Some(b't' | b'f') => {
                if let Some(is_true) = Pull::new(json).boolean()? {
                    self.point(&format!("{path}{key}"), FigureValue::Number(f64::from(u8::from(is_true))));
                }
                Ok(())
            }
            Some(_) => {
                match Pull::new(json).number()? {
                    // Sizes, waits and averages without data.
                    Some(-1.0) => (self.take)(Found::Absent),
                    Some(number) => self.point(&format!("{path}{key}"), FigureValue::Number(number)),
                    None => (self.take)(Found::Odd("a number that does not fit")),
                }
                Ok(())
            }
        }
    }

    fn container(&mut self, path: &str, key: &str, json: &[u8]) -> Read {
        match key {
            "metricsData" | "timeframeSummary" | "summaryResults" | "metricsTotals" | "metricsTotal" | "totals" => {
                self.all(path, json)
            }
            "skillsMetricsPerAgent" => self.section(Section::Skills, path, json),
            "agentsMetrics" => self.section(Section::Agents, path, json),
            // The documentation's table gives the wrapper this name, its samples the map.
            "skillsMetrics" if entries(json)?.iter().any(|(key, _)| key == "metricsPerSkill") => {
                self.section(Section::Skills, path, json)
            }
            "skillsMetrics" | "metricsPerSkill" | "skills" => self.map(path, json, |dimensions| &mut dimensions.skill),
            "metricsPerAgent" => self.map(path, json, |dimensions| &mut dimensions.agent),
            "skillGroupMetrics" => {
                for (skill, groups) in entries(json)? {
                    self.dimensions.skill = Some(skill);
                    self.map(path, groups, |dimensions| &mut dimensions.group)?;
                }
                self.dimensions.skill = None;
                Ok(())
            }
            _ => self.all(&format!("{path}{key}."), json),
        }
    }

    fn all(&mut self, path: &str, json: &[u8]) -> Read {
        for (key, json) in entries(json)? {
            self.field(path, &key, json)?;
        }
        Ok(())
    }

    fn section(&mut self, section: Section, path: &str, json: &[u8]) -> Read {
        let outer = self.dimensions.section.replace(section);
        let read = self.all(path, json);
        self.dimensions.section = outer;
        read
    }

    /// Each value of an object, its key being what `place` says.
    fn map(&mut self, path: &str, json: &[u8], place: fn(&mut Dimensions) -> &mut Option<String>) -> Read {
        // Only totals are told apart by the grouping that they close.
        let section = self.dimensions.section.take();
        for (id, value) in entries(json)? {
            *place(&mut self.dimensions) = Some(id);
            match value.first() {
                Some(b'[') => self.deeper(|walker| walker.states(value))?,
                Some(b'{') => self.deeper(|walker| walker.all(path, value))?,
                _ => (self.take)(Found::Odd("neither figures nor states where they belong")),
            }
        }
        *place(&mut self.dimensions) = None;
        self.dimensions.section = section;
        Ok(())
    }

    /// The states of an agent: `[{ "id", "name", "value": { … }, "reasons": [{ "id", "value" }] }]`.
    fn states(&mut self, json: &[u8]) -> Read {
        for state in items(json)? {
            let mut fields = Fields::of(state)?;
            let id = fields.any_text(&["id"])?;
            let name = fields.text(&["name"])?;
            self.dimensions.state = match id.as_deref() {
                Some("-1") => Some("logged-in".to_owned()),
                Some("2") => Some("online".to_owned()),
                Some("3") => Some("back-soon".to_owned()),
                Some("4") => Some("away".to_owned()),
                _ => name.map(|name| name.to_lowercase()).or(id),
            };
            if let Some(value) = fields.take(&["value"]) {
                self.all("", value)?;
            }
            for reason in fields.list(&["reasons"])? {
                let mut reason = Fields::of(reason)?;
                self.dimensions.reason = reason.any_text(&["id"])?;
                if let Some(value) = reason.take(&["value"]) {
                    self.all("", value)?;
                }
            }
            self.dimensions.reason = None;
        }
        self.dimensions.state = None;
        Ok(())
    }

    fn text(&mut self, path: &str, key: &str, json: &[u8]) -> Read {
        let is_name = path.is_empty() && key.starts_with("agent");
        let Some(text) = Fields::lone(json)? else {
            (self.take)(Found::Absent);
            return Ok(());
        };
        let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && !is_name);
        match number {
            Some(-1.0) => (self.take)(Found::Absent),
            Some(number) => self.point(&format!("{path}{key}"), FigureValue::Number(number)),
            None => self.point(&format!("{path}{key}"), FigureValue::Text(&text)),
        }
        Ok(())
    }

    fn point(&mut self, metric: &str, value: FigureValue<'_>) {
        (self.take)(Found::Point { dimensions: &self.dimensions, metric, value });
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Read) -> Read {
        if self.depth == MAX_DEPTH {
            (self.take)(Found::Odd("figures nested too deeply"));
            return Ok(());
        }
        self.depth += 1;
        let outcome = read(self);
        self.depth -= 1;
        outcome
    }
}

/// The fields of an object, in their order.
fn entries(json: &[u8]) -> Result<Vec<(String, &[u8])>, Broken> {
    let mut fields = Vec::new();
    Pull::new(json).record(&str::to_owned, &mut |pull, name| {
        fields.push((name, pull.raw()?));
        Ok(())
    })?;
    Ok(fields)
}

fn items(json: &[u8]) -> Result<Vec<&[u8]>, Broken> {
    let mut items = Vec::new();
    Pull::new(json).array(&mut |pull| {
        items.push(pull.raw()?);
        Ok(())
    })?;
    Ok(items)
}
