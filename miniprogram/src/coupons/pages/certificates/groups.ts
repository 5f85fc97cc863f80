/** Groups of identical certificates. Pure functions. */

import type { Certificate } from "../../client/client";

/** Fields that may differ between identical certificates. */
type OwnField = "certificate_id" | "order_id" | "code_tail";
type Parts = "times" | "voucher" | "lock" | "off_peak";
type FieldOf<Part> = Part extends unknown ? keyof Part : never;
type SharedField = Exclude<keyof Certificate, OwnField> | FieldOf<NonNullable<Certificate[Parts]>>;
/**
 * The fields that identical certificates share, at any depth. Named, so that a newer service with another field does not
 * split the groups of an installed program.
 */
const SHARED_FIELDS: { [name in SharedField]: true } = {
  sku_id: true,
  title: true,
  kind: true,
  pay_amount: true,
  original_amount: true,
  market_price: true,
  start_time: true,
  expire_time: true,
  is_transfer_asset: true,
  times: true,
  usable: true,
  total: true,
  use_amount: true,
  type: true,
  usable_serials: true,
  voucher: true,
  description: true,
  min_amount: true,
  max_amount: true,
  lock: true,
  status: true,
  scene: true,
  off_peak: true,
  limit_type: true,
  weekdays: true,
  hours: true,
  end_time: true,
};

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

/** Return a key that is equal for certificates of one product that differ in nothing a customer cares about. */
function identityOf(certificate: Certificate): string {
  const { sku_id, certificate_id } = certificate;
  if (sku_id === undefined) {
    // Nothing shows that two certificates are of the same product.
    return certificate_id;
  }
  return JSON.stringify(certificate, Object.keys(SHARED_FIELDS));
}
