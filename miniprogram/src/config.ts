/** Your settings: the address of the service, your merchant, and what a tap on 使用 does. The values are samples. */

import type { Certificate } from "./client/client";

export interface Config {
  api: string;
  account_id: string;
  /**
   * Called when the customer taps 使用这张券: redeem the certificate here. The list is read again afterwards, or when the
   * returned promise is settled. Without it, the page has no such button.
   */
  onSelect?: (certificate: Certificate, store: { account_id: string; poi_id: string }) => unknown;
}

export const config: Config = {
  // Without a trailing slash. The host must be on the mini-program's domain allow-list.
  api: "https://coupons.example.com",
  /** Your account id in 抖音来客. The launch query can name another merchant of this mini-program. */
  account_id: "7100000000000000001",
};
