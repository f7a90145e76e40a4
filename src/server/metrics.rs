//! The page `/metrics`: the status as numbers, in the OpenMetrics text format.
//!
//! Everything is read from one [`Status`], so that the numbers of one scrape belong together;
//! there is no global registry, and two gateways in one process do not mix. Labels are names
//! from the configuration or from this program, never users, symbols or addresses: the number
//! of time series is bounded.

mod families;

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use self::families::FAMILIES;
use super::status::Status;

/// The media type of [`render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the metrics of a status.
///
/// # Errors
///
/// Fails only if the encoder does: our own mistake.
pub fn render(status: Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tickgate");
    registry.register_collector(Box::new(StatusCollector(status)));
    let mut page = String::new();
    text::encode(&mut page, &registry)?;
    Ok(page)
}

/// A metric family: its name without the prefix `tickgate_` and without unit and `_total`.
struct Family {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    samples: fn(&Status) -> Samples,
}

#[derive(Clone, Copy)]
enum Kind {
    Count,
    CountOfBytes,
    Gauge,
    GaugeOfBytes,
    /// Its samples are milliseconds; it is shown in seconds, as all times in Prometheus are.
    GaugeOfTime,
}

/// What a family shows.
enum Samples {
    /// One number.
    One(u64),
    /// One number, or none.
    Maybe(Option<u64>),
    /// One number for each value of a label.
    Each(&'static str, Vec<(String, u64)>),
}

#[derive(Debug)]
struct StatusCollector(Status);

impl Collector for StatusCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let version = [("version", self.0.gateway.version.as_str())];
        encoder
            .encode_descriptor("build", "The running program.", None, MetricType::Info)?
            .encode_info(&version)?;
        for family in FAMILIES {
            encode_family(&mut encoder, family, &self.0)?;
        }
        Ok(())
    }
}

fn encode_family(
    encoder: &mut DescriptorEncoder,
    family: &Family,
    status: &Status,
) -> Result<(), fmt::Error> {
    let Family { kind, name, help, samples } = family;
    let unit = kind.unit();
    let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), kind.metric())?;
    match samples(status) {
        Samples::Maybe(None) => Ok(()),
        Samples::One(value) | Samples::Maybe(Some(value)) => encode_value(*kind, metric, value),
        Samples::Each(label, values) => values.into_iter().try_for_each(|(name, value)| {
            encode_value(*kind, metric.encode_family(&[(label, name)])?, value)
        }),
    }
}

fn encode_value(kind: Kind, mut sample: MetricEncoder, value: u64) -> Result<(), fmt::Error> {
    match kind {
        Kind::Count | Kind::CountOfBytes => {
            sample.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)
        }
        Kind::Gauge | Kind::GaugeOfBytes => sample.encode_gauge(&value),
        Kind::GaugeOfTime => sample.encode_gauge(&Duration::from_millis(value).as_secs_f64()),
    }
}

impl Kind {
    const fn metric(self) -> MetricType {
        match self {
            Self::Count | Self::CountOfBytes => MetricType::Counter,
            Self::Gauge | Self::GaugeOfBytes | Self::GaugeOfTime => MetricType::Gauge,
        }
    }

    const fn unit(self) -> Option<Unit> {
        match self {
            Self::Count | Self::Gauge => None,
            Self::CountOfBytes | Self::GaugeOfBytes => Some(Unit::Bytes),
            Self::GaugeOfTime => Some(Unit::Seconds),
        }
    }
}
