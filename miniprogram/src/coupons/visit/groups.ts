/** Groups of identical certificates. Pure functions. */

import type { Certificate } from "../client/client";

/**
 * Return the certificates in groups of identical ones, each group at the place of its first certificate. Certificates
 * with different `stateOf` are in different groups.
 */
export function groupsOf(certificates: Certificate[], stateOf = (_: Certificate) => ""): Certificate[][] {
  const groups = new Map<string, Certificate[]>();
  for (const certificate of certificates) {
    const key = identityOf(certificate) + stateOf(certificate);
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
 * `certificate_id`, `order_id` or `code_tail`. Any other difference, also in a field that only a newer service sends,
 * makes two groups.
 */
function identityOf({ certificate_id, order_id: _, code_tail: __, ...shared }: Certificate): string {
  // Without a product id, two certificates may be of different products: each is a group of its own.
  return shared.sku_id === undefined ? certificate_id : JSON.stringify(shared);
}
