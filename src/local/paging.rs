//! Pages of the List operations.
//!
//! A token is the key of the last item that was given, and the next page begins behind that key. So a token needs no memory here, and
//! neither a restart nor an item that has come or gone meanwhile makes a page repeat or skip anything else.

use serde::Deserialize;
use serde_json::{Value, json};

use super::wire::Refusal;

const PAGE_MAX: usize = 100;

/// The members that every List operation has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Paging {
    max_results: Option<usize>,
    next_token: Option<String>,
}

/// The order of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// One item: where it stands, and what is listed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) arn: String,
}

/// The page of `items` that was asked for, as the member `name`.
pub(super) fn page(
    name: &str,
    items: impl Iterator<Item = Item>,
    order: Order,
    paging: &Paging,
) -> Result<Value, Refusal> {
    let size = paging.max_results.unwrap_or(PAGE_MAX);
    if !(1..=PAGE_MAX).contains(&size) {
        return Err(Refusal::invalid("maxResults must be between 1 and 100."));
    }
    let after = paging.next_token.as_deref().filter(|key| !key.is_empty());
    let mut items: Vec<Item> = items
        .filter(|item| match (after, order) {
            (None, _) => true,
            (Some(after), Order::Ascending) => item.key.as_str() > after,
            (Some(after), Order::Descending) => item.key.as_str() < after,
        })
        .collect();
    items.sort_unstable();
    if order == Order::Descending {
        items.reverse();
    }
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|item| item.key.clone());
    let arns: Vec<String> = items.into_iter().map(|item| item.arn).collect();
    let mut page = json!({ name: arns });
    if let (Some(next), Some(members)) = (next, page.as_object_mut()) {
        members.insert("nextToken".to_owned(), json!(next));
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(key: &str) -> Item {
        Item { key: key.to_owned(), arn: format!("arn:{key}") }
    }

    #[test]
    fn a_page_size_out_of_range_is_refused() {
        for size in [0, 101] {
            let paging = Paging { max_results: Some(size), next_token: None };
            assert!(page("arns", std::iter::empty(), Order::Ascending, &paging).is_err());
        }
    }

    proptest! {
        #[test]
        fn the_pages_hold_each_item_once_and_in_order(
            keys in proptest::collection::btree_set("[a-z]{1,3}", 0..40),
            size in 1_usize..10,
            descending: bool,
        ) {
            let order = if descending { Order::Descending } else { Order::Ascending };
            let mut paging = Paging { max_results: Some(size), next_token: None };
            let mut seen = Vec::new();
            loop {
                let items = keys.iter().map(|key| item(key));
                let page = page("arns", items, order, &paging).unwrap();
                let arns = page["arns"].as_array().unwrap();
                prop_assert!(arns.len() <= size);
                seen.extend(arns.iter().map(|arn| arn.as_str().unwrap().to_owned()));
                match page.get("nextToken") {
                    Some(token) => paging.next_token = token.as_str().map(str::to_owned),
                    None => break,
                }
            }
            let mut expected: Vec<String> = keys.iter().map(|key| format!("arn:{key}")).collect();
            if descending {
                expected.reverse();
            }
            prop_assert_eq!(seen, expected);
        }
    }
}
