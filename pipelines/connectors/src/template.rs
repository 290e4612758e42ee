//! File names with a time in them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// One piece of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// any characters, also none
    Star,
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
}

impl Field {
    const fn digits(self) -> usize {
        match self {
            Self::Year => 4,
            Self::DayOfYear => 3,
            Self::Month | Self::Day | Self::Hour | Self::Minute | Self::Second => 2,
        }
    }
}

/// The numbers that a path holds, one a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NameTime([Option<i16>; 7]);

/// A path below the data root with `%Y %m %d %j %H %M %S` (4, 2, 2, 3, 2, 2, 2 digits), `%%` and `*` (anything within
/// one name): `prcp/%Y/%m/%d/rain_%Y%m%d%H%M_*.tif`. A field that is written twice must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    names: Vec<Vec<Piece>>,
}

/// A template that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "is {text:?}, which {problem}; accepted is a relative path with %Y %m %d %j %H %M %S, %% and *, as prcp/%Y/%m/%d/rain_%Y%m%d%H%M_*.tif"
)]
pub struct TemplateError {
    text: String,
    problem: &'static str,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] for an unknown directive, an absolute path or one that climbs, and no day.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        let refuse = |problem| TemplateError { text: text.to_owned(), problem };
        if text.is_empty() || text.starts_with('/') || text.split('/').any(|n| n.is_empty() || n == "." || n == "..") {
            return Err(refuse("is not a path below the data root"));
        }
        let names: Vec<Vec<Piece>> = text
            .split('/')
            .map(|name| pieces(name).ok_or_else(|| refuse("has an unknown directive")))
            .collect::<Result<_, _>>()?;
        let template = Self { names };
        let day = template.has(Field::DayOfYear) || (template.has(Field::Month) && template.has(Field::Day));
        if !day {
            return Err(refuse("names no day"));
        }
        Ok(template)
    }

    /// Whether the names hold a year; without one they recur.
    #[must_use]
    pub fn has_year(&self) -> bool {
        self.has(Field::Year)
    }

    fn has(&self, field: Field) -> bool {
        self.names.iter().flatten().any(|p| *p == Piece::Field(field))
    }

    /// Every file below `root` whose path fits, with the time in it; in no order. A root that is absent holds none.
    ///
    /// # Errors
    /// The path that could not be listed, and why.
    pub fn list(&self, root: &Path) -> Result<Vec<(NameTime, PathBuf)>, (PathBuf, io::Error)> {
        let mut level = vec![(NameTime::default(), PathBuf::new())];
        for (depth, name) in self.names.iter().enumerate() {
            let last = depth + 1 == self.names.len();
            let mut next = Vec::new();
            for (time, folder) in level {
                let at = root.join(&folder);
                let entries = match fs::read_dir(&at) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err((at, error)),
                };
                for entry in entries {
                    let entry = entry.map_err(|error| (at.clone(), error))?;
                    let found = entry.file_name();
                    let Some(time) = found.to_str().and_then(|n| fit(name, n, time)) else { continue };
                    // What lies where a file should be is found out when it is read.
                    if last || entry.path().is_dir() {
                        next.push((time, folder.join(&found)));
                    }
                }
            }
            level = next;
        }
        Ok(level)
    }
}

fn pieces(name: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        let piece = match letter {
            '*' => Piece::Star,
            '%' => match letters.next()? {
                '%' => {
                    literal.push('%');
                    continue;
                }
                'Y' => Piece::Field(Field::Year),
                'm' => Piece::Field(Field::Month),
                'd' => Piece::Field(Field::Day),
                'j' => Piece::Field(Field::DayOfYear),
                'H' => Piece::Field(Field::Hour),
                'M' => Piece::Field(Field::Minute),
                'S' => Piece::Field(Field::Second),
                _ => return None,
            },
            other => {
                literal.push(other);
                continue;
            }
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(piece);
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Some(pieces)
}

/// The time after `name` was read with `pieces`, when it fits and agrees with what is known.
fn fit(pieces: &[Piece], name: &str, mut time: NameTime) -> Option<NameTime> {
    let Some((piece, rest)) = pieces.split_first() else { return name.is_empty().then_some(time) };
    match piece {
        Piece::Literal(text) => fit(rest, name.strip_prefix(text.as_str())?, time),
        Piece::Star => {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.filter_map(|at| fit(rest, &name[at..], time)).next()
        }
        Piece::Field(field) => {
            let digits = name.get(..field.digits()).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
            let number: i16 = digits.parse().ok()?;
            let known = &mut time.0[*field as usize];
            if known.is_some_and(|k| k != number) {
                return None;
            }
            *known = Some(number);
            fit(rest, &name[digits.len()..], time)
        }
    }
}

impl NameTime {
    /// The wall clock of the name, in `year` when it names none. Absent hours, minutes and seconds are 0; hour 24 is
    /// the next midnight. `None` for a date that the calendar does not have.
    #[must_use]
    pub fn in_year(&self, year: i16) -> Option<jiff::civil::DateTime> {
        let get = |field: Field| self.0[field as usize];
        let year = get(Field::Year).unwrap_or(year);
        let date = match (get(Field::DayOfYear), get(Field::Month), get(Field::Day)) {
            (Some(day), _, _) => {
                let first = jiff::civil::Date::new(year, 1, 1).ok()?;
                let date = first.checked_add(jiff::Span::new().try_days(day - 1).ok()?).ok()?;
                (day > 0 && date.year() == year).then_some(date)?
            }
            (None, Some(month), Some(day)) => {
                jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?
            }
            (None, _, _) => return None,
        };
        let part = |field| i8::try_from(get(field).unwrap_or(0)).ok();
        let (hour, minute, second) = (part(Field::Hour)?, part(Field::Minute)?, part(Field::Second)?);
        if (hour, minute, second) == (24, 0, 0) {
            return Some(date.tomorrow().ok()?.at(0, 0, 0, 0));
        }
        Some(date.to_datetime(jiff::civil::Time::new(hour, minute, second, 0).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(template: &str, path: &str) -> Option<String> {
        let template = Template::new(template).unwrap();
        let names: Vec<&str> = path.split('/').collect();
        assert_eq!(names.len(), template.names.len());
        let time = template.names.iter().zip(names).try_fold(NameTime::default(), |t, (p, n)| fit(p, n, t))?;
        time.in_year(2015).map(|t| t.to_string())
    }

    #[test]
    fn times_are_read_from_folders_and_names() {
        let rain = "prcp/%Y/%m/%d/rain_%Y%m%d%H%M_*.tif";
        let time = read(rain, "prcp/2014/09/15/rain_201409150300_201409150300.tif");
        assert_eq!(time.as_deref(), Some("2014-09-15T03:00:00"));
        assert_eq!(read(rain, "prcp/2014/09/16/rain_201409150300_x.tif"), None, "folder and name disagree");
        assert_eq!(read(rain, "prcp/2014/09/15/rain_201409150300_x.tif.part"), None);
        assert_eq!(read("pet/%m%d_ETPJIA.tif", "pet/0914_ETPJIA.tif").as_deref(), Some("2015-09-14T00:00:00"));
        assert_eq!(read("pet/%m%d_ETPJIA.tif", "pet/0229_ETPJIA.tif"), None, "2015 has no 29 February");
        assert_eq!(read("%Y%j.tif", "2016366.tif").as_deref(), Some("2016-12-31T00:00:00"));
        assert_eq!(read("%Y%j.tif", "2015366.tif"), None);
        assert_eq!(read("%Y%m%d%H.tif", "2015123124.tif").as_deref(), Some("2016-01-01T00:00:00"));
        assert_eq!(read("*a*%Y%m%d*.tif", "aaa20150101.tif").as_deref(), Some("2015-01-01T00:00:00"));
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        for text in ["", "/abs/%Y%m%d.tif", "../%Y%m%d.tif", "%Y.tif", "%Q%Y%m%d.tif", "%Y%m%d.tif%", "a//%Y%m%d"] {
            let error = Template::new(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("accepted is a relative path"), "{error}");
        }
    }
}
