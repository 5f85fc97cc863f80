/** Opens the pages from `dist`, each by itself, on a phone without a network. */

import assert from "node:assert/strict";
import type { Progress } from "../src/coupons/client/client";
import type { Config } from "../src/coupons/settings";
import type { StoreEvent, StoreState } from "../src/coupons/visit/storeState";
import type { cardsView, certificateView, listView } from "../src/coupons/visit/view";
import { loadBuilt, unloadBuilt } from "./built";
import type { FakeTt } from "./fake-tt";

export interface Visit {
  listState: { certificates: object[] };
  storeState: StoreState;
  onProgress(progress: Progress): void;
  updateStores(event: StoreEvent): void;
}

export interface Page {
  data: ReturnType<typeof certificateView> & ReturnType<typeof cardsView> & ReturnType<typeof listView>;
  setData(data: object): void;
  openRedeemPage(): void;
  openOrders(): void;
  leave(): void;
  openCertificate(event: object): void;
  loadMore(): void;
  resolveProblem(): void;
  onLoad(query: object): void;
  onShow(): void;
  onHide(): void;
  onUnload(): void;
  onPullDownRefresh(): void;
}

/** Return the cards of the list in their order. */
export function cardsIn({ data }: Page) {
  return data.sections.flatMap(({ cards }) => cards);
}

/** Settings as a developer may write them: in JavaScript, `beforeLogin` can return anything. */
export interface Settings extends Partial<Omit<Config, "beforeLogin">> {
  beforeLogin?: () => unknown;
}

/** Start the mini-program on a phone, without a page. */
export function start(tt: FakeTt, settings: Settings = {}) {
  Object.assign(globalThis, { tt });
  unloadBuilt();
  Object.assign(loadBuilt<{ config: Config }>("coupons/config").config, settings);
  return loadBuilt<{ visit: Visit }>("coupons/visit/visit").visit;
}

/** Open `certificates` or `certificate`. */
export function openPage(name: string, query: object): Page {
  let page: Page | undefined;
  const path = `coupons/pages/${name}/${name}`;
  Object.assign(globalThis, {
    Page: (definition: Page) => {
      page = Object.assign(definition, { setData: (data: object) => Object.assign(definition.data, data) });
    },
  });
  loadBuilt(path, true);
  assert.ok(page);
  page.onLoad(query);
  page.onShow();
  return page;
}

/** Open 券详情 over the list, as a tap on a card does. */
export function openDetail(list: Page, id: string): Page {
  list.openCertificate({ currentTarget: { dataset: { id } } });
  return openPage("certificate", { id });
}
