// Swagger UI on the contract beside this page.
const contract = new URL("openapi.json", location.href).href;
window.ui = SwaggerUIBundle({
  url: contract,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
