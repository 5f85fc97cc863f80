/** Groups of identical certificates. Pure functions. */

import type { Certificate } from "../client/client";

/** Return the certificates in groups of identical ones, each group at the place of its first certificate. */
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
 * Return a key that is equal for certificates of one product that differ in nothing a customer cares about. Any other
 * difference, also in a field of a newer service, makes two groups.
 */
function identityOf({ certificate_id, order_id: _, code_tail: __, ...shared }: Certificate): string {
  // Without a product, nothing shows that two certificates are of the same one.
  return shared.sku_id === undefined ? certificate_id : JSON.stringify(shared);
}
