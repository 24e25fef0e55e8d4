package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed prices.json
var priceTable []byte

// prices are list prices of AWS in us-east-1, without free tiers or discounts, in dollars for one of each.
type prices map[string]float64

func readPrices() (prices, error) {
	var lines []struct {
		Name    string  `json:"name"`
		Dollars float64 `json:"dollars"`
		Per     float64 `json:"per"`
		Unit    string  `json:"unit"`
		AsOf    string  `json:"asOf"`
		Source  string  `json:"source"`
	}
	if err := json.Unmarshal(priceTable, &lines); err != nil {
		return nil, fmt.Errorf("read the prices: %w", err)
	}
	p := prices{}
	for _, l := range lines {
		p[l.Name] = l.Dollars / l.Per
	}
	return p, nil
}

// of is the price of so many. It panics on a name that is not in the table, which is a defect.
func (p prices) of(name string, count float64) float64 {
	price, known := p[name]
	if !known {
		panic("no price of " + name)
	}
	return price * count
}
