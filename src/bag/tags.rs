//! The small text files of a bag that are not manifests: `bagit.txt` and `bag-info.txt`.

use super::line::quoted;

/// What `bagit.txt` declares: the version.
///
/// # Errors
/// Why it is no declaration of a bag that can be read here.
pub(super) fn declaration(text: &str) -> Result<(u32, u32), String> {
    const KNOWN: [(u32, u32); 6] = [(0, 93), (0, 94), (0, 95), (0, 96), (0, 97), (1, 0)];
    if text.starts_with('\u{feff}') {
        return Err("bagit.txt begins with a byte-order mark".to_owned());
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let [version, encoding] = lines[..] else {
        return Err("bagit.txt does not have exactly two lines".to_owned());
    };
    let value = |line: &str, label: &str| {
        // One space, and none elsewhere: the declaration is the part of the format that leaves no choice.
        let value = line.strip_prefix(label).and_then(|rest| rest.strip_prefix(": "));
        let value = value.filter(|value| !value.is_empty() && value.trim() == *value);
        value.map(str::to_owned).ok_or_else(|| format!("bagit.txt has no line `{label}: …` of exactly this form"))
    };
    let version = value(version, "BagIt-Version")?;
    let number = version.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let number = number.filter(|number| KNOWN.contains(number));
    let number =
        number.ok_or_else(|| format!("bagit.txt names the version {}, which is not known", quoted(&version)))?;
    let encoding = value(encoding, "Tag-File-Character-Encoding")?;
    if !encoding.eq_ignore_ascii_case("UTF-8") {
        let named = quoted(&encoding);
        return Err(format!("its tag files are in {named}; only UTF-8 is read here"));
    }
    Ok(number)
}

/// The labels and values of `bag-info.txt`, in order; values that go on over several lines are joined by a space.
///
/// # Errors
/// The line that is none.
pub(super) fn info(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut fields: Vec<(String, String)> = Vec::new();
    if text.starts_with('\u{feff}') {
        return Err("bag-info.txt begins with a byte-order mark".to_owned());
    }
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let last = fields.last_mut().ok_or_else(|| "bag-info.txt begins with a continued line".to_owned())?;
            last.1 = format!("{} {}", last.1, line.trim());
            continue;
        }
        let (label, value) =
            line.split_once(':').ok_or_else(|| format!("line {} of bag-info.txt has no label", at + 1))?;
        fields.push((label.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(fields)
}

/// Values of a label, whatever its case.
pub(super) fn values<'f>(fields: &'f [(String, String)], label: &'f str) -> impl Iterator<Item = &'f str> {
    fields.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(label)).map(|(_, value)| value.as_str())
}

/// Octets and files of a `Payload-Oxum`.
pub(super) fn oxum(value: &str) -> Option<(u64, u64)> {
    let (octets, files) = value.split_once('.')?;
    Some((octets.parse().ok()?, files.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_has_one_form() {
        let text = |version: &str, encoding: &str| {
            format!("BagIt-Version:{version}\nTag-File-Character-Encoding:{encoding}\n")
        };
        assert_eq!(declaration(&text(" 1.0", " UTF-8")), Ok((1, 0)));
        assert_eq!(declaration(&text(" 0.97", " utf-8")), Ok((0, 97)));
        for (version, encoding) in
            [("1.0", " UTF-8"), ("  1.0", " UTF-8"), (" 1.0 ", " UTF-8"), (" 1.1", " UTF-8"), (" 1.0", "")]
        {
            declaration(&text(version, encoding)).unwrap_err();
        }
        assert!(declaration(&text(" 1.0", " UTF-16")).unwrap_err().contains("only UTF-8"));
        assert!(declaration(&format!("\u{feff}{}", text(" 1.0", " UTF-8"))).unwrap_err().contains("byte-order"));
        declaration("Tag-File-Character-Encoding: UTF-8\nBagIt-Version: 1.0\n").unwrap_err();
    }

    #[test]
    fn information_keeps_its_order_and_its_long_values() {
        let fields = info("Title: a\n  b\n\tc\nTITLE:d\nEmpty:\n").unwrap();
        assert_eq!(values(&fields, "title").collect::<Vec<_>>(), ["a b c", "d"]);
        assert_eq!(fields[2], ("Empty".to_owned(), String::new()));
        info(" continued").unwrap_err();
        info("no label").unwrap_err();
        assert_eq!((oxum("12.3"), oxum("12"), oxum("-1.3"), oxum("1.2.3")), (Some((12, 3)), None, None, None));
    }
}
