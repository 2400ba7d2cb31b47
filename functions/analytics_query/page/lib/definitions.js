// What each figure is called and means. docs/analytics.md says the same, with formulas and error bounds.

/** By the name of the figure: its title and its definition. */
export const FIGURES = {
  events: ["Events", "Everything that happened, each event counted once."],
  uniqueUsers: ["Unique users", "People seen: different user ids with at least one event."],
  conversionRate: ["Conversion", "People who bought, of all people seen."],
  buyers: ["Buyers", "People who bought: different user ids with at least one purchase."],
  purchases: ["Purchases", "Events with an amount."],
  revenue: ["Revenue", "The sum of the amounts of all purchases."],
  averageOrderValue: ["Average order", "Revenue per purchase."],
  top: ["Top", "Events at the top of the funnel: views, likes, comments, shares."],
  bottom: ["Bottom", "Events at the bottom of the funnel: clicks, forms, visits, follows, purchases."],
  clickThroughRate: ["Click-through", "Events at the bottom of the funnel per event at its top."],
  continuationRate: ["Went on", "People seen at the top who came to the bottom later, of people seen at the top."],
  clicks: ["Clicks", "Clicks on an ad of the campaign."],
  purchaseRate: ["Purchase rate", "Purchases per click."],
  spend: ["Spend", "What was spent, as imported: of the days that begin in the range."],
  costPerClick: ["Cost per click", "Spend per click on an ad."],
  costPerPurchase: ["Cost per purchase", "Spend per purchase."],
  returnOnSpend: ["Return on spend", "Revenue per amount spent (ROAS)."],
  attributedRevenue: ["Attributed revenue", "Revenue of purchases before which it was touched, as the model divides it."],
};

export const title = (name) => FIGURES[name]?.[0] ?? null;
export const meaning = (name) => FIGURES[name]?.[1] ?? null;
