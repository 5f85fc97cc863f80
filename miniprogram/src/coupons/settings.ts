/** What `config.ts` can set. It may be that of an older version of this folder. */

import type { Certificate } from "./client/client";
import { config } from "./config";

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
   * What 券详情 says without `onSelect`. Default: 请向店员出示本页. Then the page redeems nothing: decide what your staff does
   * with it, and try that in the pilot.
   */
  counterText?: string;
  /** With `false`, the pages show no prices: 实付, 门市价 and 券款已付. */
  showPrices?: boolean;
  /**
   * Called when the customer taps 去使用 on 券详情: redeem the certificate here. 去使用 is disabled until the returned promise
   * is settled, for a minute at most; then the list is read again. Return or resolve to `false` if nothing was submitted,
   * for example because the customer gave up; anything else is shown as submitted. After an error, which is logged, the
   * page says that the result is unknown.
   */
  onSelect?: (certificate: Certificate, store: { account_id: string; poi_id: string }) => unknown;
}

export const settings: Config = config;
