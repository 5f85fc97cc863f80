/** What `config.ts` can set. */

export interface Config {
  api: string;
  account_id: string;
  /** Path of this folder in the program. In a subpackage (分包), the path begins with the subpackage's root. */
  basePath: string;
  /** The app_id, for hosts without `tt.getEnvInfoSync` (base library older than 2.21.0). */
  appId?: string;
  /** What customers do without the page; below each list, it follows 「没列出的券，」. Default: show the Douyin order. */
  help?: string;
  /**
   * Opens the customer's orders in Douyin. With this function, the pages have a button 打开我的订单. If it throws or rejects,
   * the pages show where Douyin has the orders instead of the button.
   */
  openOrders?: () => unknown;
  /** Path, with a leading slash, of a page of your program that shows its licences. The list links it as 资质公示. */
  qualificationPage?: string;
  /**
   * Called before the first request for a list: ask the customer for a consent here. No list is requested before it has
   * returned `true`, or a promise of `true`. This consent is valid until the program is restarted, or another user logs
   * in (or may have, where nothing can be stored). After any other value or an error, the page offers 重试, which calls it again.
   */
  beforeLogin?: () => boolean | Promise<boolean>;
  /**
   * A page of your program that redeems: its path, with a leading slash, and the text of its button on 券详情. The button
   * opens `url` with `certificate_id`, `order_id`, `account_id` and `poi_id` added to its query. Only a certificate
   * without a doubt has it, on a list that is at most five minutes old, while the merchant has not switched redemption
   * off. Everything else is up to your page: read `miniprogram/docs/redeem.zh-CN.md` of this project first.
   */
  redeemPage?: { url: string; text: string };
}
