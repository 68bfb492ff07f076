//! Any answer to a Data Access listing call. No name comes through that could leave its folder; a failure is never taken for "nothing there".
#![no_main]

use chatvault::acquire::{Answer, DataAccess, DataType, Source as _};
use chatvault::archive::Window;
use chatvault::archive::layout::checked_name;
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, body) = input;
    let base = Url::parse("https://va.da.liveperson.net").expect("a constant that parses");
    let data_type = DataType::ALL[usize::from(choice) % DataType::ALL.len()];
    let source = DataAccess::new(data_type, "40112233", &base);
    let status = [200, 200, 200, 204, 301, 400, 401, 404, 429, 500][usize::from(choice / 4) % 10];
    let content_type =
        [None, Some("application/json"), Some("text/html"), Some("application/xml")][usize::from(choice / 64)];
    let asked = source.first(Window { start_ms: 1_467_853_200_000, end_ms: 1_467_856_800_000 });
    let answer = Answer { status, content_type: content_type.map(str::to_owned), body: body.to_vec() };
    match source.read(&asked, &answer) {
        Ok(reading) => {
            assert!(status == 200 || reading.files.is_empty(), "files in an answer of status {status}");
            for file in reading.files {
                checked_name(&file.name).expect("a listed name can be archived");
                assert_eq!(file.stream, data_type.stream());
                assert!(file.window.is_none_or(|window| window.start_ms < window.end_ms));
            }
            for entry in reading.refused {
                assert!(!entry.name.contains(char::is_control) && entry.name.len() < 2000, "{entry:?}");
            }
        }
        Err(problem) => {
            assert!(!problem.reason.contains(char::is_control) && problem.reason.len() < 8000, "{problem:?}")
        }
    }
});
