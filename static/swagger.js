// Swagger UI for our OpenAPI document. Its requests use the session: the page is of the same origin.
SwaggerUIBundle({
  url: "../openapi.json", // relative to the page: a server may be mounted below a prefix
  dom_id: "#swagger",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
