//! Chat lines: picks sentences for a message and fills their slots.
//!
//! Everything a conversation repeats (order number, product, names, town, amounts) is drawn once
//! into [`Facts`], so that the lines of one conversation belong together. Bytes go straight into
//! the caller's buffer; nothing is formatted per word.

use super::dice::Dice;
use super::vocab::{Part, Piece, RIGHT_TO_LEFT, Stock, Template, WITHOUT_SPACES, WordList};

/// Stream number of the text dice.
const TEXT_STREAM: u64 = 11;

/// The facts one conversation keeps coming back to.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) surname: String,
    pub(super) order: Vec<u8>,
    pub(super) product: String,
    pub(super) city: String,
    pub(super) amount: Vec<u8>,
    pub(super) email: Vec<u8>,
    pub(super) phone: Vec<u8>,
    tracking: Vec<u8>,
    error: Vec<u8>,
    code: Vec<u8>,
}

/// Writes the lines of one conversation.
#[derive(Debug)]
pub(super) struct Writer {
    stock: &'static Stock,
    dice: Dice,
    language: usize,
    topic: usize,
    /// What the conversation is about.
    pub(super) facts: Facts,
}

impl Writer {
    /// The writer of conversation `index`.
    pub(super) fn new(seed: u64, index: u64, language: usize, topic: usize) -> Self {
        let stock = Stock::shared();
        let mut dice = Dice::new(seed, TEXT_STREAM, index);
        let facts = facts(stock, &mut dice);
        Self { stock, dice, language, topic, facts }
    }

    /// Appends one message of `part`; `agent` is the nickname for `{agent}`.
    pub(super) fn line(&mut self, part: Part, agent: &str, out: &mut Vec<u8>) {
        let start = out.len();
        self.sentence(part, agent, out);
        let more = match part {
            Part::Explain | Part::AgentFiller => self.dice.below(3).min(1) + self.dice.below(2),
            Part::Problem => self.dice.below(2),
            Part::Ask | Part::VisitorFiller | Part::Resolve => u32::from(self.dice.permille(300)),
            _ => 0,
        };
        for _ in 0..more {
            self.part_sentences(out);
            let follow = match part {
                Part::Problem | Part::VisitorFiller => Part::VisitorFiller,
                Part::Ask => Part::Ask,
                _ => Part::AgentFiller,
            };
            self.sentence(follow, agent, out);
        }
        if is_visitor(part) {
            self.humanise(start, out);
        }
    }

    /// Ends a sentence that has no mark of its own, and leaves a space.
    fn part_sentences(&self, out: &mut Vec<u8>) {
        let spaced = !WITHOUT_SPACES.contains(&self.language);
        let last = out.last().copied().unwrap_or(b' ');
        if spaced && last.is_ascii_alphanumeric() {
            out.push(b'.');
        }
        out.extend_from_slice(if spaced { b" " } else { b"" });
    }

    /// Appends an agent's line as HTML, with entities and attributes as a chat window sends it.
    pub(super) fn html_line(&mut self, part: Part, agent: &str, out: &mut Vec<u8>) {
        let rtl = RIGHT_TO_LEFT.contains(&self.language);
        let opening: &[u8] = if rtl { b"<div dir=\"rtl\">" } else { b"<div class=\"lp-line\">" };
        out.extend_from_slice(opening);
        match self.dice.below(3) {
            0 => {
                out.extend_from_slice(b"<b>");
                self.escaped_sentence(Part::AgentAck, agent, out);
                out.extend_from_slice(b"</b><br/>");
            }
            1 => {
                out.extend_from_slice(b"<p>Terms &amp; conditions: <a href=\"");
                self.value("url", agent, out);
                out.extend_from_slice(b"\" target=\"_blank\">details</a></p>");
            }
            _ => {}
        }
        self.escaped_sentence(part, agent, out);
        out.extend_from_slice(b"</div>");
    }

    /// Appends an address in the shop.
    pub(super) fn link(&mut self, out: &mut Vec<u8>) {
        self.value("url", "", out);
    }

    fn sentence(&mut self, part: Part, agent: &str, out: &mut Vec<u8>) {
        let topical = matches!(part, Part::Problem | Part::Ask | Part::Answer | Part::Explain | Part::Resolve);
        let general = topical && part != Part::Problem && self.dice.permille(250);
        let topic = (topical && !general).then_some(self.topic);
        let choices = self.stock.sentences(self.language, part, topic);
        if choices.is_empty() {
            return;
        }
        let template: &Template = self.dice.pick(choices);
        for piece in template {
            match *piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Word(list) => self.word(list, out),
                Piece::Value(name) => self.value(name, agent, out),
            }
        }
    }

    fn escaped_sentence(&mut self, part: Part, agent: &str, out: &mut Vec<u8>) {
        let mut plain = Vec::with_capacity(128);
        self.sentence(part, agent, &mut plain);
        for &byte in &plain {
            match byte {
                b'&' => out.extend_from_slice(b"&amp;"),
                b'<' => out.extend_from_slice(b"&lt;"),
                b'>' => out.extend_from_slice(b"&gt;"),
                b'"' => out.extend_from_slice(b"&quot;"),
                _ => out.push(byte),
            }
        }
    }

    fn word(&mut self, list: WordList, out: &mut Vec<u8>) {
        out.extend_from_slice(draw(self.stock, list, &mut self.dice).as_bytes());
    }

    fn value(&mut self, name: &str, agent: &str, out: &mut Vec<u8>) {
        let facts = &self.facts;
        let dice = &mut self.dice;
        match name {
            "name" => out.extend_from_slice(facts.name.as_bytes()),
            "surname" => out.extend_from_slice(facts.surname.as_bytes()),
            "agent" => out.extend_from_slice(agent.as_bytes()),
            "order" => out.extend_from_slice(&facts.order),
            "product" => out.extend_from_slice(facts.product.as_bytes()),
            "city" => out.extend_from_slice(facts.city.as_bytes()),
            "amount" => out.extend_from_slice(&facts.amount),
            "email" => out.extend_from_slice(&facts.email),
            "phone" => out.extend_from_slice(&facts.phone),
            "tracking" => out.extend_from_slice(&facts.tracking),
            "error" => out.extend_from_slice(&facts.error),
            "code" if dice.permille(600) => out.extend_from_slice(&facts.code),
            "code" => code(dice, out),
            "price" => price(dice, out),
            "date" => date(dice, out),
            "url" => self.url(out),
            _ => number_value(name, dice, out),
        }
    }

    fn url(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"https://shop.example.org/");
        let path = *self.dice.pick(&["help/", "p/", "account/", "terms/", "de/hilfe/"]);
        out.extend_from_slice(path.as_bytes());
        let word = draw(self.stock, WordList::Noun, &mut self.dice);
        out.extend(word.bytes().map(|byte| if byte == b' ' { b'-' } else { byte }));
        if self.dice.permille(400) {
            out.extend_from_slice(b"?ref=");
            push_number(u64::from(self.dice.below(1_000_000)), out);
            out.extend_from_slice(b"&lang=en");
        }
    }

    /// Typing habits of visitors: lower case, slips, emoji, doubled marks.
    fn humanise(&mut self, start: usize, out: &mut Vec<u8>) {
        let habit = self.dice.below(100);
        if habit < 7 {
            out[start..].make_ascii_lowercase();
        } else if habit < 12 {
            swap_letters(&mut self.dice, &mut out[start..]);
        } else if habit < 17 {
            out.push(b' ');
            self.word(WordList::Emoji, out);
        } else if habit < 20 {
            out.extend_from_slice(b"!!!");
        } else if habit < 21 {
            out.extend_from_slice(b"\n\"quoted\" \\o/\t");
        }
    }
}

fn is_visitor(part: Part) -> bool {
    matches!(
        part,
        Part::VisitorOpen | Part::VisitorAck | Part::VisitorClose | Part::VisitorFiller | Part::Problem | Part::Answer
    )
}

pub(super) fn draw(stock: &'static Stock, list: WordList, dice: &mut Dice) -> &'static str {
    let list = stock.words(list);
    list.words.get(list.zipf.draw(dice)).map_or("", String::as_str)
}

fn facts(stock: &'static Stock, dice: &mut Dice) -> Facts {
    let name = draw(stock, WordList::First, dice).to_owned();
    let surname = draw(stock, WordList::Last, dice).to_owned();
    let mut facts = Facts { city: draw(stock, WordList::City, dice).to_owned(), ..Facts::default() };
    facts.product.push_str(draw(stock, WordList::Brand, dice));
    facts.product.push(' ');
    facts.product.push_str(draw(stock, WordList::Article, dice));
    facts.order.extend_from_slice(b"ORD-2026-");
    push_padded(u64::from(dice.below(1_000_000)), 6, &mut facts.order);
    price(dice, &mut facts.amount);
    let plain = |text: &str| text.bytes().filter(u8::is_ascii_alphabetic).collect::<Vec<_>>();
    facts.email = plain(&name);
    facts.email.push(b'.');
    facts.email.extend_from_slice(&plain(&surname));
    push_number(u64::from(dice.below(100)), &mut facts.email);
    facts.email.make_ascii_lowercase();
    facts.email.extend_from_slice(b"@example.org");
    let prefix = *dice.pick(&["+1 555 01", "+44 20 7946 0", "+49 30 23125 "]);
    facts.phone.extend_from_slice(prefix.as_bytes());
    push_padded(u64::from(dice.below(1_000)), 3, &mut facts.phone);
    facts.tracking.extend_from_slice(b"1Z999AA10");
    push_padded(u64::from(dice.below(1_000_000_000)), 9, &mut facts.tracking);
    let prefix = *dice.pick(&["ERR-", "E", "HTTP ", "0x8007"]);
    facts.error.extend_from_slice(prefix.as_bytes());
    push_padded(u64::from(dice.between(100, 600)), 3, &mut facts.error);
    code(dice, &mut facts.code);
    facts.name = name;
    facts.surname = surname;
    facts
}

fn code(dice: &mut Dice, out: &mut Vec<u8>) {
    const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let bits = dice.bits();
    out.extend((0..6).map(|place| LETTERS[(bits >> (5 * place)) as usize & 31]));
}

fn price(dice: &mut Dice, out: &mut Vec<u8>) {
    const RANGE: [u32; 17] = [1, 3, 5, 8, 10, 13, 18, 24, 30, 40, 50, 65, 85, 120, 180, 300, 4_000];
    let whole = u64::from(dice.quantile(&RANGE));
    let cents = u64::from(*dice.pick(&[99_u32, 90, 50, 0, 49, 95, 5, 37]));
    match dice.below(4) {
        0 => {
            push_number(whole, out);
            out.push(b',');
            push_padded(cents, 2, out);
            out.extend_from_slice(" €".as_bytes());
            return;
        }
        1 => out.extend_from_slice("£".as_bytes()),
        _ => out.push(b'$'),
    }
    push_number(whole, out);
    out.push(b'.');
    push_padded(cents, 2, out);
}

fn date(dice: &mut Dice, out: &mut Vec<u8>) {
    let (day, month) = (u64::from(dice.between(1, 29)), u64::from(dice.between(1, 13)));
    let numbers = match dice.below(3) {
        0 => [2026, month, day],
        1 => [day, month, 2026],
        _ => [month, day, 26],
    };
    let mark = *dice.pick(b"-./");
    for (place, number) in numbers.into_iter().enumerate() {
        if place > 0 {
            out.push(mark);
        }
        push_padded(number, 2, out);
    }
}

fn number_value(name: &str, dice: &mut Dice, out: &mut Vec<u8>) {
    match name {
        "small" => push_number(u64::from(dice.between(2, 10)), out),
        "percent" => push_number(u64::from(dice.between(1, 11) * 5), out),
        "year" => push_number(u64::from(dice.between(2009, 2027)), out),
        "four" => push_padded(u64::from(dice.below(10_000)), 4, out),
        "zip" => push_padded(u64::from(dice.between(1_000, 99_999)), 5, out),
        "flight" => {
            let airline = *dice.pick(&["XA", "QZ", "VX", "K9"]);
            out.extend_from_slice(airline.as_bytes());
            push_number(u64::from(dice.between(100, 9_999)), out);
        }
        "time" => {
            push_padded(u64::from(dice.between(6, 22)), 2, out);
            out.push(b':');
            push_padded(u64::from(dice.below(12) * 5), 2, out);
        }
        _ => push_number(u64::from(dice.between(2, 90)), out),
    }
}

/// Swaps two neighbouring letters, as a hurried typist does.
fn swap_letters(dice: &mut Dice, line: &mut [u8]) {
    let place = dice.below(line.len() as u32) as usize;
    if let Some([left, right]) = line.get_mut(place..place + 2)
        && left.is_ascii_lowercase()
        && right.is_ascii_lowercase()
    {
        std::mem::swap(left, right);
    }
}

/// Appends a decimal number.
pub(super) fn push_number(number: u64, out: &mut Vec<u8>) {
    push_padded(number, 1, out);
}

/// Appends a decimal number with at least `width` digits.
pub(super) fn push_padded(mut number: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut place = digits.len();
    while number > 0 || digits.len() - place < width.min(digits.len()) {
        place -= 1;
        digits[place] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[place..]);
}
