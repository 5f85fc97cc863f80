/** Groups of identical certificates. Pure functions. */

import type { Certificate } from "../client/client";

/** Return the certificates in groups of identical ones, each group at the place of its first certificate. */
export function groupsOf<C extends Certificate>(certificates: C[]): C[][] {
  const groups = new Map<string, C[]>();
  for (const certificate of certificates) {
    const key = groupKeyOf(certificate);
    const group = groups.get(key);
    if (group) {
      group.push(certificate);
    } else {
      groups.set(key, [certificate]);
    }
  }
  return Array.from(groups.values());
}

/**
 * Return the key of a certificate's group. Certificates of one product have the same key if they differ only in
 * `certificate_id`, `order_id` or `code_tail`. Any other difference makes two groups: also in the doubt of a card,
 * or in a field that only a newer service sends.
 */
function groupKeyOf({ certificate_id, order_id: _, code_tail: __, ...shared }: Certificate): string {
  // Without a product id, two certificates may be of different products: each is a group of its own.
  return shared.sku_id === undefined ? certificate_id : JSON.stringify(shared);
}
