/**
 * Your settings: the service, your merchant, and what a tap on 去使用 does. The values are samples. Keep this file when you
 * update the folder.
 */

import type { Certificate } from "./client/client";

export interface Config {
  api: string;
  account_id: string;
  /** Path of this folder in the program; in a subpackage (分包), with the subpackage's root. */
  basePath: string;
  /** The app_id, for hosts without `tt.getEnvInfoSync` (base library older than 2.21.0). */
  appId?: string;
  /** What a customer does when the page cannot help: below problems and on 券详情. Default: 请联系店员 */
  help?: string;
  /**
   * What 券详情 says without `onSelect`. Default: 请联系店员核销. Then the page redeems nothing: decide what your staff does
   * with it, and try that in the pilot.
   */
  counterText?: string;
  /**
   * Called when the customer taps 去使用: redeem the certificate here. 去使用 is disabled until the returned promise is
   * settled; then the list is read again. Return or resolve to `false` if nothing was submitted, for example because the
   * customer gave up; anything else is shown as submitted. An error is logged.
   */
  onSelect?: (certificate: Certificate, store: { account_id: string; poi_id: string }) => unknown;
}

export const config: Config = {
  // The host must be on the mini-program's domain allow-list.
  api: "https://coupons.example.com",
  /** Your account id in 抖音来客. The launch query can name another merchant of this mini-program. */
  account_id: "7100000000000000001",
  basePath: "/coupons",
  appId: "tt0123456789abcdef",
};
