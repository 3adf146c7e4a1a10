//! The EBS volume that ECS creates for a task.
//!
//! Source of all limits: Amazon ECS API reference, TaskManagedEBSVolumeConfiguration and EBSTagSpecification; of the rate at
//! which a snapshot is fetched and of the least throughput: Amazon EC2 API reference, CreateVolume.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::engine::resources::{EbsTags, EbsVolume, VolumeConfiguration};

use super::reader::{Table, Value};
use super::report::Note;
use super::resources::at_most;
use super::task;

/// ECS attaches one EBS volume to a task.
const VOLUMES_MAX: usize = 1;
/// A volume has one list of tags.
const TAG_SPECIFICATIONS_MAX: usize = 1;
/// Over all types.
const SIZE: RangeInclusive<i64> = 1..=16_384;
const IOPS: RangeInclusive<i64> = 100..=256_000;
const THROUGHPUT: RangeInclusive<i64> = 125..=1_000;
const INITIALIZATION_RATE: RangeInclusive<i64> = 100..=300;

/// A type of volume and what it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    name: &'static str,
    /// In GiB.
    size: (i32, i32),
    /// None if it takes none.
    iops: Option<(i32, i32)>,
    needs_iops: bool,
}

const KINDS: [Kind; 7] = [
    Kind { name: "gp3", size: (1, 16_384), iops: Some((3_000, 16_000)), needs_iops: false },
    Kind { name: "gp2", size: (1, 16_384), iops: None, needs_iops: false },
    Kind { name: "io1", size: (4, 16_384), iops: Some((100, 64_000)), needs_iops: true },
    Kind { name: "io2", size: (4, 16_384), iops: Some((100, 256_000)), needs_iops: true },
    Kind { name: "st1", size: (125, 16_384), iops: None, needs_iops: false },
    Kind { name: "sc1", size: (125, 16_384), iops: None, needs_iops: false },
    Kind { name: MAGNETIC, size: (1, 1_024), iops: None, needs_iops: false },
];
/// The type that Fargate does not take.
pub(super) const MAGNETIC: &str = "standard";

pub(super) fn configurations(value: &Value<'_>) -> Option<Vec<VolumeConfiguration>> {
    at_most(value, VOLUMES_MAX, |table| {
        let name = table.required("name", |value| value.string());
        let volume = table.required("managed_ebs_volume", |value| value.table(ebs_volume));
        Some(VolumeConfiguration { name: name?, managed_ebs_volume: volume? })
    })
}

fn ebs_volume(table: &Table<'_>) -> Option<EbsVolume> {
    let text = |key| table.get(key, |value| value.string());
    let kind = table.get("volume_type", |value| value.word(&KINDS.map(|kind| (kind.name, kind))));
    let role_arn = table.required("role_arn", |value| value.string());
    let size_in_gib = table.get("size_in_gib", |value| value.integer(SIZE));
    let iops = table.get("iops", |value| value.integer(IOPS));
    let throughput = table.get("throughput", |value| value.integer(THROUGHPUT));
    let encrypted = table.get("encrypted", |value| value.boolean());
    let (kms_key_id, snapshot_id) = (text("kms_key_id"), text("snapshot_id"));
    let rate = table.get("volume_initialization_rate", |value| value.integer(INITIALIZATION_RATE));
    let filesystem_type = table.get("filesystem_type", |value| {
        value.word(&[("ext3", "ext3"), ("ext4", "ext4"), ("xfs", "xfs"), ("ntfs", "ntfs")])
    });
    let tag_specifications =
        table.get("tag_specifications", |value| at_most(value, TAG_SPECIFICATIONS_MAX, tag_specification));
    let termination = table.get("termination_policy", |value| {
        value.table(|policy| policy.required("delete_on_termination", |value| value.boolean()))
    });
    let kind = kind.optional();
    let volume = EbsVolume {
        role_arn: role_arn?,
        size_in_gib: size_in_gib.optional()?,
        volume_type: kind?.map(|kind| kind.name.to_owned()),
        iops: iops.optional()?,
        throughput: throughput.optional()?,
        encrypted: encrypted.optional()?,
        kms_key_id: kms_key_id.optional()?,
        snapshot_id: snapshot_id.optional()?,
        volume_initialization_rate: rate.optional()?,
        filesystem_type: filesystem_type.optional()?.map(str::to_owned),
        tag_specifications: tag_specifications.or_default(Vec::new())?,
        delete_on_termination: termination.optional()?,
    };
    let mistakes: Vec<(&str, String)> = of_its_kind(&volume, kind?).into_iter().chain(of_its_keys(&volume)).collect();
    for (key, mistake) in &mistakes {
        let place = table.place_of(key).unwrap_or(table.place);
        table.report().add(Note::error("bad-value", place, format!("{}: {mistake}", table.path)));
    }
    mistakes.is_empty().then_some(volume)
}

/// What the type of the volume does not take, each with its key.
fn of_its_kind(volume: &EbsVolume, kind: Option<Kind>) -> Vec<(&'static str, String)> {
    let Some(Kind { name, size, iops, needs_iops }) = kind else { return Vec::new() };
    let mut mistakes = Vec::new();
    let is_beyond = |number: i32, (least, most): (i32, i32)| number < least || number > most;
    if let Some(gib) = volume.size_in_gib.filter(|gib| is_beyond(*gib, size)) {
        mistakes.push(("size_in_gib", format!("{gib} GiB is not in {} to {}, which {name} takes", size.0, size.1)));
    }
    match (volume.iops, iops) {
        (Some(_), None) => mistakes.push(("iops", format!("{name} takes no iops; gp3, io1 and io2 do"))),
        (Some(number), Some(limits)) if is_beyond(number, limits) => {
            mistakes
                .push(("iops", format!("{number} iops are not in {} to {}, which {name} takes", limits.0, limits.1)));
        }
        (None, _) if needs_iops => mistakes.push(("volume_type", format!("iops is missing, which {name} needs"))),
        (Some(_) | None, _) => {}
    }
    if volume.throughput.is_some() && name != "gp3" {
        mistakes.push(("throughput", format!("{name} takes no throughput; gp3 does")));
    }
    mistakes
}

/// Which keys of the volume need or exclude one another.
fn of_its_keys(volume: &EbsVolume) -> Vec<(&'static str, String)> {
    let mut mistakes = Vec::new();
    if volume.size_in_gib.is_none() && volume.snapshot_id.is_none() {
        mistakes.push(("", "size_in_gib or snapshot_id is missing".to_owned()));
    }
    if volume.volume_initialization_rate.is_some() && volume.snapshot_id.is_none() {
        mistakes.push(("volume_initialization_rate", "volume_initialization_rate needs snapshot_id".to_owned()));
    }
    if volume.kms_key_id.is_some() && volume.encrypted == Some(false) {
        mistakes.push(("kms_key_id", "kms_key_id and encrypted = false exclude each other".to_owned()));
    }
    mistakes
}

fn tag_specification(table: &Table<'_>) -> Option<EbsTags> {
    let resource_type = table.get("resource_type", |value| value.word(&[("volume", "volume")]));
    let tags = table.get("tags", |value| {
        let tags = task::tags(value)?;
        let reserved = ["AmazonECSCreated", "AmazonECSManaged"].into_iter().find(|key| tags.contains_key(*key));
        match reserved {
            Some(key) => value.refuse("bad-tag", format!("{key} is a tag of ECS's own")),
            None if tags.len() > task::TAGS_MAX => {
                value.refuse("bad-tag", format!("{} are too many; a volume has at most {}", tags.len(), task::TAGS_MAX))
            }
            None => Some(tags),
        }
    });
    let propagate_tags = table.get("propagate_tags", task::propagate_tags);
    Some(EbsTags {
        resource_type: resource_type.or_default("volume")?.to_owned(),
        tags: tags.or_default(BTreeMap::new())?,
        propagate_tags: propagate_tags.optional()?,
    })
}
