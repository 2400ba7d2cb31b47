// Swagger UI on the contract beside this page.

/** What is missing for those who do not see the page: names of fields, the order of headings, a way for keys. */
function complete() {
  for (const title of document.querySelectorAll(".swagger-ui .info .title")) title.ariaLevel = "2"; // below the page's own
  for (const field of document.querySelectorAll(".swagger-ui :is(select, input:not([type=file]), textarea):not([aria-label])")) {
    const name = field.closest("[data-param-name]")?.dataset.paramName ?? (field.id === "servers" ? "Server" : field.matches("textarea") ? "Body" : null);
    if (name) field.ariaLabel = name;
  }
  for (const responses of document.querySelectorAll(".swagger-ui .responses-table[role=region]:not([aria-label])")) {
    responses.ariaLabel = responses.id.replaceAll("_", " "); // "get analytics funnel responses"
  }
  for (const code of document.querySelectorAll(".swagger-ui pre.microlight")) code.tabIndex = 0; // it is scrolled by keys
}

/** Paths as plain text: a link within the button that opens an operation could not be reached. */
const plainPaths = ({ React }) => ({ components: { DeepLink: ({ text }) => React.createElement("span", {}, text) } });

new MutationObserver(complete).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });

globalThis.ui = SwaggerUIBundle({
  url: new URL("openapi.json", location.href).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  plugins: [plainPaths],
});
