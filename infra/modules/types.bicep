@export()
@description('An Azure OpenAI resource behind the balancer: `location` makes a new one, `url` brings one along. Exactly one of the two.')
@sealed()
type backendType = {
  @description('Region of a resource to create, such as eastus2.')
  location: string?
  @description('Endpoint of a resource that exists already, https://NAME.openai.azure.com. It is not changed, and no role is assigned on it.')
  url: string?
  @description('Lower is asked first; higher ones only when no lower one can answer. Default 1.')
  @minValue(1)
  @maxValue(100)
  priority: int?
  @description('Share of the traffic among those of one priority. Default 1.')
  @minValue(1)
  @maxValue(100)
  weight: int?
  @description('Beside `location`: size of its chat deployment, in thousand tokens a minute, or in PTUs for a provisioned SKU.')
  @minValue(1)
  capacity: int?
  @description('Beside `location`: deployment type of its chat model.')
  sku: modelSkuType?
  @description('Beside `url`, container front only: what its deployments are called, gpt-5.4-mini=my-ptu,text-embedding-3-large=my-emb. It then serves only these.')
  deployments: string?
}

@export()
@description('How a model is deployed.')
type modelSkuType =
  | 'GlobalStandard'
  | 'DataZoneStandard'
  | 'Standard'
  | 'GlobalProvisionedManaged'
  | 'DataZoneProvisionedManaged'
  | 'ProvisionedManaged'

@export()
@description('A model deployment on a resource.')
@sealed()
type deploymentType = {
  @description('Name that callers use.')
  name: string
  @description('Name of the model.')
  model: string
  @description('Version of the model.')
  version: string
  @description('Deployment type.')
  sku: modelSkuType
  @description('Thousand tokens a minute, or PTUs.')
  @minValue(1)
  capacity: int
}

@export()
@description('What a front is told of a resource.')
@sealed()
type endpointType = {
  @description('Name in logs and headers: openai1, openai2, …')
  name: string
  @description('https://HOST, without a path.')
  url: string
  @description('Lower is asked first.')
  priority: int
  @description('Share inside a priority.')
  weight: int
  @description('Its own names of deployments; empty: the same as everywhere.')
  deployments: string
}

@export()
@description('What stands in front of the resources.')
type loadBalancerType = 'aca' | 'apim' | 'both'

@export()
@description('Tiers of API Management that have circuit breakers and long streams (Consumption has neither).')
type apimSkuType = 'BasicV2' | 'StandardV2' | 'Developer' | 'Basic' | 'Standard' | 'Premium'

@export()
@description('`East US 2` → eastus2.')
func regionOf(text string) string => toLower(replace(text, ' ', ''))

@export()
@description('Endpoint of a resource by its subdomain. Its properties name another host (cognitiveservices.azure.com).')
func openAiUrl(subdomain string) string => 'https://${subdomain}.openai.azure.com'

@export()
@description('https://host/ → https://host.')
func originOf(url string) string => endsWith(url, '/') ? substring(url, 0, length(url) - 1) : url
