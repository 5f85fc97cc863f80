/** Your settings: the address of the service, and your merchant. The values below are samples. */

export const config = {
  // Without a trailing slash. The host must be on the mini-program's domain allow-list.
  api: "https://coupons.example.com",
  /** Your account id in 抖音来客. The launch query can name another merchant of this mini-program. */
  account_id: "7296781329369139211",
};
