//! Folding: one spelling for what readers take for the same word, and the kinds of characters the tokenizer asks about.

use unicode_normalization::UnicodeNormalization;

/// Katakana and Hangul: UAX 29 makes words of their runs, which readers do not.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{30a0}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9f}' // katakana
        | '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{a960}'..='\u{a97f}' // jamo
        | '\u{ac00}'..='\u{d7ff}' | '\u{ffa0}'..='\u{ffdc}' // Hangul syllables, jamo of half width
    )
}

pub(super) fn is_emoji(c: char) -> bool {
    matches!(c, '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{203c}' | '\u{2049}'
        | '\u{231a}'..='\u{231b}' | '\u{2328}' | '\u{23cf}' | '\u{23e9}'..='\u{23fa}')
}

/// Invisible characters that steer how text is laid out. People paste them with names and numbers and never type them.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{180e}' | '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{00ad}' | '\u{feff}')
}

/// What joins two halves of a word as an apostrophe does.
pub(super) fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{02bc}' | '\u{05f3}' | '\u{ff07}')
}

/// Marks that are accents in the eyes of someone who searches. Vowel signs of Indic scripts and the voicing marks of kana
/// are not: without them it is another word.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036f}'                                  // combining diacritical marks
        | '\u{0591}'..='\u{05bd}' | '\u{05bf}' | '\u{05c1}'..='\u{05c7}' // Hebrew points
        | '\u{0610}'..='\u{061a}' | '\u{0640}' | '\u{064b}'..='\u{065f}' | '\u{0670}' // Arabic marks, tatweel
        | '\u{06d6}'..='\u{06ed}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}'    // presentation selectors, skin tones
    )
}

/// Folds a word: compatibility forms, case, accents. The same for index, matcher and query.
pub fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(word.len());
    // Lower case before and after: U+0130 (İ) decomposes only once it is lower case, and some letters only decompose
    // into capitals.
    for c in word.nfkd().flat_map(char::to_lowercase).nfkd() {
        if is_accent(c) || is_invisible(c) {
            // й and ў are letters of their own.
            if c == '\u{0306}' && folded.ends_with(['и', 'у']) {
                folded.push(c);
            }
            continue;
        }
        for c in c.to_lowercase() {
            push_folded(&mut folded, c);
        }
    }
    if folded.is_ascii() { folded } else { folded.nfc().collect() }
}

fn push_folded(folded: &mut String, c: char) {
    match c {
        'ß' => folded.push_str("ss"),
        'ı' => folded.push('i'),
        'ς' => folded.push('σ'),
        'ø' => folded.push('o'),
        'đ' | 'ð' => folded.push('d'),
        'ł' => folded.push('l'),
        'æ' => folded.push_str("ae"),
        'œ' => folded.push_str("oe"),
        'þ' => folded.push_str("th"),
        '\u{2018}' | '\u{2019}' | '\u{02bc}' | '\u{05f3}' => folded.push('\''),
        '\u{05f4}' => folded.push('"'),
        // Arabic as it is typed: the other alef, both keyboards' yeh and kaf, teh marbuta.
        'ٱ' => folded.push('ا'),
        'ى' | 'ی' => folded.push('ي'),
        'ک' => folded.push('ك'),
        'ة' => folded.push('ه'),
        // Digits of Arabic, Persian and Hindi.
        '\u{0660}'..='\u{0669}' => push_digit(folded, c, 0x0660),
        '\u{06f0}'..='\u{06f9}' => push_digit(folded, c, 0x06f0),
        '\u{0966}'..='\u{096f}' => push_digit(folded, c, 0x0966),
        // Hangul and kana were taken apart by the decomposition; the caller puts them together again.
        other => folded.push(other),
    }
}

fn push_digit(folded: &mut String, c: char, zero: u32) {
    folded.extend(char::from_digit((c as u32).saturating_sub(zero), 10));
}
