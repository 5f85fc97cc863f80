/** Your settings: the address of the service, your merchant, and what a tap on 去使用 does. The values are samples. */

import type { Certificate } from "./client/client";

export interface Config {
  api: string;
  account_id: string;
  /** What a customer does when the page cannot help. It is below every problem and on 券详情. Default: 请联系店员 */
  help?: string;
  /**
   * Called when the customer taps 去使用: redeem the certificate here. The list is read again afterwards, or when the
   * returned promise is settled. Settle it also when the customer gives up: 去使用 is disabled until then. Without the
   * hook, 去使用 opens 券详情, which the customer shows to the staff.
   */
  onSelect?: (certificate: Certificate, store: { account_id: string; poi_id: string }) => unknown;
}

export const config: Config = {
  // The host must be on the mini-program's domain allow-list.
  api: "https://coupons.example.com",
  /** Your account id in 抖音来客. The launch query can name another merchant of this mini-program. */
  account_id: "7100000000000000001",
};
